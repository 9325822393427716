/* libedictum: Edictum Guard for programs that call C. Made from the sources of the library; do not edit.
 *
 * Texts are UTF-8 with a length; as arguments they are read during the call and not kept. Every function may be called on any
 * thread, also at the same time with the same host, guard or driver; only what frees a handle must be the last to use it. A
 * handle that a function gives is freed by the caller with the function of its type, once; handles do not need one another: a
 * guard keeps its host alive. No function throws or unwinds.
 *
 * A function that may have to wait takes `done`, `user_data` and `pending`. Without `done` it waits, on the caller's thread.
 * With `done` it ends at once when it can: then the answer is there, and `done` is not called. Else it gives
 * EDICTUM_STATUS_PENDING and sets `pending`, if that is not NULL, and `done` is called once, on another thread, possibly before
 * the function has returned. `pending` serves to give up, and is freed by the caller in any case.
 *
 * `answer` may be NULL, and then nobody sees it. Else it is freed by edictum_answer_free, except for EDICTUM_STATUS_PENDING,
 * where there is nothing in it yet. */

#ifndef EDICTUM_H
#define EDICTUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 `flags` of a decision: allowed only because rules, or the guard, merely observe.
 */
#define EDICTUM_FLAG_OBSERVED 1

/*
 `flags` of a decision: it comes from something broken, not from a rule.
 */
#define EDICTUM_FLAG_POLICY_ERROR 2

/*
 `flags` of the end of a call: the tool succeeded.
 */
#define EDICTUM_FLAG_SUCCESS 4

/*
 `flags` of the end of a call: every enforced postcondition held.
 */
#define EDICTUM_FLAG_PASSED 8

/*
 A tool failed.
 */
#define EDICTUM_TOOL_FAILED 0

/*
 A tool succeeded.
 */
#define EDICTUM_TOOL_SUCCEEDED 1

/*
 The success check, or the heuristic, decides whether a tool succeeded.
 */
#define EDICTUM_TOOL_UNKNOWN -1

/*
 Version of this interface. One library serves programs that were made for its version; what is added keeps the version,
 what is changed raises it.
 */
#define EDICTUM_ABI_VERSION 1

/*
 How a function went. Anything but `OK` and `PENDING` is an error, and `text` of the answer says more.
 */
typedef enum edictum_status {
  /*
   Done.
   */
  EDICTUM_STATUS_OK = 0,
  /*
   Under way: `done` will be called.
   */
  EDICTUM_STATUS_PENDING = 1,
  /*
   Documents, options or a command that the engine refuses; the code and all findings are in the text.
   */
  EDICTUM_STATUS_REFUSED = 2,
  /*
   The caller's mistake.
   */
  EDICTUM_STATUS_BAD_REQUEST = 3,
  /*
   No such open call, no such guard.
   */
  EDICTUM_STATUS_NOT_FOUND = 4,
  /*
   Somebody else was faster, or the call is not in the state that this takes.
   */
  EDICTUM_STATUS_CONFLICT = 5,
  /*
   A signature does not verify.
   */
  EDICTUM_STATUS_UNAUTHORIZED = 6,
  /*
   This guard, or this host, cannot do it.
   */
  EDICTUM_STATUS_UNSUPPORTED = 7,
  /*
   The guard has been closed.
   */
  EDICTUM_STATUS_CLOSED = 8,
  /*
   The store failed, or a server cannot be reached.
   */
  EDICTUM_STATUS_UNAVAILABLE = 9,
  /*
   A fault of this library.
   */
  EDICTUM_STATUS_INTERNAL = 10,
} edictum_status;

/*
 What happens to a call. Zero is the safe one.
 */
typedef enum edictum_action {
  /*
   It must not run.
   */
  EDICTUM_ACTION_BLOCK = 0,
  /*
   It may run.
   */
  EDICTUM_ACTION_ALLOW = 1,
  /*
   A person has to say so first.
   */
  EDICTUM_ACTION_ASK = 2,
} edictum_action;

/*
 Guards by name, and who gets the answers. May be used by any number of threads; requests are taken one after another.
 */
typedef struct edictum_driver edictum_driver;

/*
 Judges tool calls. May be used by any number of threads at the same time, but not while it is freed.
 */
typedef struct edictum_guard edictum_guard;

/*
 Runs the engine: its instances, its threads, the clock. A process needs one. May be used by any number of threads at the
 same time. Guards keep it alive: it may be freed before them.
 */
typedef struct edictum_host edictum_host;

/*
 What the texts of an answer are in.
 */
typedef struct edictum_memory edictum_memory;

/*
 An operation that is under way. Belongs to the caller, who frees it once, whenever that may be.
 */
typedef struct edictum_pending edictum_pending;

/*
 Where an answer is given. Used up by the first answer.
 */
typedef struct edictum_reply edictum_reply;

/*
 A guard to be opened. Used by one thread at a time.
 */
typedef struct edictum_setup edictum_setup;

/*
 A text, or none. As an argument it is read during the call and not kept; in an answer it lives as long as the answer.
 */
typedef struct edictum_text {
  /*
   UTF-8, without a zero at its end. NULL: there is none.
   */
  const uint8_t *bytes;
  /*
   Bytes.
   */
  size_t length;
} edictum_text;

/*
 An answer. Its texts live until `edictum_answer_free`; one that was handed to `done` lives for the time of that call. The
 caller makes room for it and need not fill it.

 An error: `text` is a JSON object with `code` (stable), `message`, and for documents `line`, `column`, `help`,
 `diagnostics`. Which fields a result has is said at each function; the others are empty.
 */
typedef struct edictum_answer {
  /*
   How it went.
   */
  enum edictum_status status;
  /*
   Of a decision.
   */
  enum edictum_action action;
  /*
   `EDICTUM_FLAG_…`.
   */
  uint32_t flags;
  /*
   JSON: the result; of a decision and of the end of a call its details.
   */
  struct edictum_text text;
  /*
   Of a decision: the call.
   */
  struct edictum_text call_id;
  /*
   Of a decision: what to tell the agent. Empty on a plain allow.
   */
  struct edictum_text reason;
  /*
   Of a decision: rule id, limit, hook or stage. Empty on a plain allow. Of a summary: the revision.
   */
  struct edictum_text name;
  /*
   JSON, or none. Of an ask: what to ask a person, redacted. Of the end of a call: what to hand to the agent instead of
   what the tool returned.
   */
  struct edictum_text value;
  /*
   Of the end of a call: an array of strings for the agent (JSON).
   */
  struct edictum_text warnings;
  /*
   Of `edictum_guard_open`: the guard, which is the caller's to free. `edictum_answer_free` does not touch it.
   */
  struct edictum_guard *guard;
  /*
   The library's.
   */
  struct edictum_memory *memory;
} edictum_answer;

/*
 Told, once, how an operation ended: on a thread of the library, possibly before the function that started it returns. It
 must not wait for anything. The answer lives until it returns; a guard in it is the callee's.
 */
typedef void (*edictum_done)(void *user_data, const struct edictum_answer *answer);

/*
 One call to be judged.
 */
typedef struct edictum_call {
  /*
   A JSON object: `tool`, `args`, and where known `principal`, `environment`, `metadata`.
   */
  struct edictum_text call;
  /*
   None: the guard's own session.
   */
  struct edictum_text session_id;
  /*
   None: a new one. Unique in the guard.
   */
  struct edictum_text call_id;
  /*
   The session that started this one, or none.
   */
  struct edictum_text parent_session_id;
} edictum_call;

/*
 Told something (JSON) on a thread that decides about a call: it only puts it somewhere. The text lives until it returns.
 */
typedef void (*edictum_notice)(void *user_data, struct edictum_text notice);

/*
 Frees what `user_data` points to. Called once, from any thread, when it will not be used any more.
 */
typedef void (*edictum_release)(void *user_data);

/*
 Asked a question (JSON) on a thread of the library that may wait. The answer is given through `reply`, once, before it
 returns or later, from any thread. The question lives until it returns.
 */
typedef void (*edictum_question)(void *user_data, struct edictum_text question, struct edictum_reply *reply);

/*
 Takes events of the decision log (JSON each), in this order, on a thread that decides: it only puts them somewhere, and
 says whether they are kept. With the option `decision_log_required` a call whose events are not kept is blocked.
 */
typedef bool (*edictum_sink)(void *user_data, const struct edictum_text *events, size_t count);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Frees the texts of an answer; its status stays. NULL, and an answer that has been freed, are nothing to do. Not for an
 answer in `done`.
 */
void edictum_answer_free(struct edictum_answer *answer);

/*
 Answers a question with JSON. What it must be is said where the callback is set; anything else is no answer. It may come
 too late: then it does nothing.
 */
void edictum_reply_answer(struct edictum_reply *reply,
                          struct edictum_text answer);

/*
 Says why there is no answer: for the decision log, never for the agent. The call is blocked.
 */
void edictum_reply_fail(struct edictum_reply *reply, struct edictum_text reason);

/*
 What would happen to a call, and to `output` where there is one (JSON): a dry run that counts nothing. `text`: the result.
 */
enum edictum_status edictum_guard_evaluate(const struct edictum_guard *guard,
                                           struct edictum_text call,
                                           struct edictum_text output,
                                           edictum_done done,
                                           void *user_data,
                                           struct edictum_pending **pending,
                                           struct edictum_answer *answer);

/*
 Counts the attempt and decides. An allowed call stays open until `edictum_guard_finish`, one that is asked about until
 `edictum_guard_settle` or its deadline. Whatever goes wrong is a block; after an error nothing has been decided, and the
 call must not run. A decision: `action`, `flags`, `call_id`, `reason`, `name`, `text` (details: `decision_source`,
 `decision_name`, `rules_evaluated`, `workflow`), and with an ask `value`.
 */
enum edictum_status edictum_guard_begin(const struct edictum_guard *guard,
                                        const struct edictum_call *call,
                                        edictum_done done,
                                        void *user_data,
                                        struct edictum_pending **pending,
                                        struct edictum_answer *answer);

/*
 Goes on with a call that was asked about: it is judged again under the rules in force now. `outcome`: a JSON object with
 `verdict` (`approved`, `rejected`, `timed_out`, `unreachable`) and where known `approver`, `reason`, `approval_id`,
 `decided_at`, `decided_via`. A decision, as of `edictum_guard_begin`; a workflow may ask again.
 */
enum edictum_status edictum_guard_settle(const struct edictum_guard *guard,
                                         struct edictum_text call_id,
                                         struct edictum_text outcome,
                                         edictum_done done,
                                         void *user_data,
                                         struct edictum_pending **pending,
                                         struct edictum_answer *answer);

/*
 Waits until a call that was asked about is settled, by whoever is first: somebody who calls `edictum_guard_settle`, a
 server's queue, its deadline, or the guard's approver, who is asked when `approval` is given (`value` of the decision). A
 decision, as of `edictum_guard_begin`. Who cancels stops to wait; the call goes on waiting.
 */
enum edictum_status edictum_guard_wait(const struct edictum_guard *guard,
                                       struct edictum_text call_id,
                                       struct edictum_text approval,
                                       edictum_done done,
                                       void *user_data,
                                       struct edictum_pending **pending,
                                       struct edictum_answer *answer);

/*
 Judges what a tool returned (`output`, JSON), by the rules in force now, and ends the call. `success`:
 `EDICTUM_TOOL_…`. After an error the output must not be used. The end: `flags`, `warnings`, `text` (details: `redacted`,
 `suppressed`, `policy_error`, `rules_evaluated`, `findings`), and `value` when the agent is to get something else.
 */
enum edictum_status edictum_guard_finish(const struct edictum_guard *guard,
                                         struct edictum_text call_id,
                                         struct edictum_text output,
                                         int32_t success,
                                         edictum_done done,
                                         void *user_data,
                                         struct edictum_pending **pending,
                                         struct edictum_answer *answer);

/*
 Makes a driver in this host. `function` gets every answer, one at a time, on any thread; it must not make requests.
 */
enum edictum_status edictum_driver_new(const struct edictum_host *host,
                                       edictum_notice function,
                                       void *user_data,
                                       edictum_release release,
                                       struct edictum_driver **driver,
                                       struct edictum_answer *answer);

/*
 Carries out a request, one JSON object. It has been answered when this returns; but for requests that wait for a person, or
 say `parallel`: those are answered when they are done. `OK` also when the answer says that it was refused.
 */
enum edictum_status edictum_driver_request(const struct edictum_driver *driver,
                                           struct edictum_text line,
                                           struct edictum_answer *answer);

/*
 Waits for what is under way, closes all its guards, and frees it, when no call with it is under way. NULL is nothing to do.
 */
void edictum_driver_free(struct edictum_driver *driver);

/*
 Opens a guard. `op` is `open` or `open_server`, `fields` the JSON object of that operation of the driver protocol
 (docs/driver.md): `guard` (its name), `rulesets`, `options`, `store`, … Guards may have the same name. `setup` has what no
 document can say, or is NULL; it is used up, whatever the result, and must not be freed.

 `guard`: the guard, the caller's to free. `text`: the `result` of the operation. A guard that is opened after the caller
 has cancelled is freed.
 */
enum edictum_status edictum_guard_open(const struct edictum_host *host,
                                       struct edictum_text op,
                                       struct edictum_text fields,
                                       struct edictum_setup *setup,
                                       edictum_done done,
                                       void *user_data,
                                       struct edictum_pending **pending,
                                       struct edictum_answer *answer);

/*
 Frees the handle, when no call with it is under way. The guard itself lives until what is under way in it has ended; it is
 not closed: open calls stay in its store. NULL is nothing to do.
 */
void edictum_guard_free(struct edictum_guard *guard);

/*
 An operation of the driver protocol about this guard, by its name: `reload`, `counters`, `workflow`, `events`, `health`,
 `flush`, `close`, and those of calls, which have functions of their own. `fields`: its fields without `guard` (JSON
 object), or none. `text`: the `result`. After `close` every operation is refused, and who waits is told.
 */
enum edictum_status edictum_guard_request(const struct edictum_guard *guard,
                                          struct edictum_text op,
                                          struct edictum_text fields,
                                          edictum_done done,
                                          void *user_data,
                                          struct edictum_pending **pending,
                                          struct edictum_answer *answer);

/*
 Whose calls they are when neither the call nor a resolver says so: a JSON object, or none for nobody. For later calls.
 */
enum edictum_status edictum_guard_set_principal(const struct edictum_guard *guard,
                                                struct edictum_text principal,
                                                struct edictum_answer *answer);

/*
 What the rules in force say of themselves. `text`: name, mode, rules, report, options, `needs` (JSON); `name`: the revision, SHA-256, hex, as `policy_version` in the decision log.
 */
enum edictum_status edictum_guard_summary(const struct edictum_guard *guard,
                                          struct edictum_answer *answer);

/*
 The `EDICTUM_ABI_VERSION` of this library. A program refuses another one than that of the header it was made with.
 */
uint32_t edictum_abi_version(void);

/*
 The version of this library, as `1.2.3`. Lives for ever.
 */
struct edictum_text edictum_version(void);

/*
 Starts a host. `options`: none, or a JSON object with any of `deciders` (calls decided at the same time; default: the
 number of cores), `memory_bytes` (of each; default 256 MiB), `step_deadline_ms` (inside the engine; default 10,000),
 `callback_deadline_ms` (for each answer of the program; default 30,000). The first start on a machine compiles the engine,
 a second or two; later ones take milliseconds. `host` is set when it is `OK`. In a process that forks, start it after.
 */
enum edictum_status edictum_host_new(struct edictum_text options,
                                     struct edictum_host **host,
                                     struct edictum_answer *answer);

/*
 Frees it, when no call with it is under way. It ends with the last guard of it. NULL is nothing to do.
 */
void edictum_host_free(struct edictum_host *host);

/*
 An operation of the driver protocol that is about no guard, by its name: `hello`, `check`, `templates`. `fields`: a JSON
 object, or none. `text`: the `result`.
 */
enum edictum_status edictum_host_request(const struct edictum_host *host,
                                         struct edictum_text op,
                                         struct edictum_text fields,
                                         edictum_done done,
                                         void *user_data,
                                         struct edictum_pending **pending,
                                         struct edictum_answer *answer);

/*
 Which of these keys signed this text: Ed25519 over exactly its bytes. `signature`: base64 or hex; `keys`: an array of
 public keys, 64 hex digits each (JSON). `text`: the key, `{"key": …}`. `UNAUTHORIZED`: none of them.
 */
enum edictum_status edictum_host_verify(const struct edictum_host *host,
                                        struct edictum_text text,
                                        struct edictum_text signature,
                                        struct edictum_text keys,
                                        struct edictum_answer *answer);

/*
 Lets all guards of this host see this time (milliseconds since 1970) from now on, and waits until what is due then is
 done: for tests.
 */
enum edictum_status edictum_host_set_time(const struct edictum_host *host,
                                          uint64_t now_ms,
                                          struct edictum_answer *answer);

/*
 Frees the texts of an answer; its status stays. NULL, and an answer that has been freed, are nothing to do. Not for an
 answer in `done`.
 */
void edictum_answer_free(struct edictum_answer *answer);

/*
 Answers a question with JSON. What it must be is said where the callback is set; anything else is no answer. It may come
 too late: then it does nothing.
 */
void edictum_reply_answer(struct edictum_reply *reply,
                          struct edictum_text answer);

/*
 Says why there is no answer: for the decision log, never for the agent. The call is blocked.
 */
void edictum_reply_fail(struct edictum_reply *reply, struct edictum_text reason);

/*
 What would happen to a call, and to `output` where there is one (JSON): a dry run that counts nothing. `text`: the result.
 */
enum edictum_status edictum_guard_evaluate(const struct edictum_guard *guard,
                                           struct edictum_text call,
                                           struct edictum_text output,
                                           edictum_done done,
                                           void *user_data,
                                           struct edictum_pending **pending,
                                           struct edictum_answer *answer);

/*
 Counts the attempt and decides. An allowed call stays open until `edictum_guard_finish`, one that is asked about until
 `edictum_guard_settle` or its deadline. Whatever goes wrong is a block; after an error nothing has been decided, and the
 call must not run. A decision: `action`, `flags`, `call_id`, `reason`, `name`, `text` (details: `decision_source`,
 `decision_name`, `rules_evaluated`, `workflow`), and with an ask `value`.
 */
enum edictum_status edictum_guard_begin(const struct edictum_guard *guard,
                                        const struct edictum_call *call,
                                        edictum_done done,
                                        void *user_data,
                                        struct edictum_pending **pending,
                                        struct edictum_answer *answer);

/*
 Goes on with a call that was asked about: it is judged again under the rules in force now. `outcome`: a JSON object with
 `verdict` (`approved`, `rejected`, `timed_out`, `unreachable`) and where known `approver`, `reason`, `approval_id`,
 `decided_at`, `decided_via`. A decision, as of `edictum_guard_begin`; a workflow may ask again.
 */
enum edictum_status edictum_guard_settle(const struct edictum_guard *guard,
                                         struct edictum_text call_id,
                                         struct edictum_text outcome,
                                         edictum_done done,
                                         void *user_data,
                                         struct edictum_pending **pending,
                                         struct edictum_answer *answer);

/*
 Waits until a call that was asked about is settled, by whoever is first: somebody who calls `edictum_guard_settle`, a
 server's queue, its deadline, or the guard's approver, who is asked when `approval` is given (`value` of the decision). A
 decision, as of `edictum_guard_begin`. Who cancels stops to wait; the call goes on waiting.
 */
enum edictum_status edictum_guard_wait(const struct edictum_guard *guard,
                                       struct edictum_text call_id,
                                       struct edictum_text approval,
                                       edictum_done done,
                                       void *user_data,
                                       struct edictum_pending **pending,
                                       struct edictum_answer *answer);

/*
 Judges what a tool returned (`output`, JSON), by the rules in force now, and ends the call. `success`:
 `EDICTUM_TOOL_…`. After an error the output must not be used. The end: `flags`, `warnings`, `text` (details: `redacted`,
 `suppressed`, `policy_error`, `rules_evaluated`, `findings`), and `value` when the agent is to get something else.
 */
enum edictum_status edictum_guard_finish(const struct edictum_guard *guard,
                                         struct edictum_text call_id,
                                         struct edictum_text output,
                                         int32_t success,
                                         edictum_done done,
                                         void *user_data,
                                         struct edictum_pending **pending,
                                         struct edictum_answer *answer);

/*
 Makes a driver in this host. `function` gets every answer, one at a time, on any thread; it must not make requests.
 */
enum edictum_status edictum_driver_new(const struct edictum_host *host,
                                       edictum_notice function,
                                       void *user_data,
                                       edictum_release release,
                                       struct edictum_driver **driver,
                                       struct edictum_answer *answer);

/*
 Carries out a request, one JSON object. It has been answered when this returns; but for requests that wait for a person, or
 say `parallel`: those are answered when they are done. `OK` also when the answer says that it was refused.
 */
enum edictum_status edictum_driver_request(const struct edictum_driver *driver,
                                           struct edictum_text line,
                                           struct edictum_answer *answer);

/*
 Waits for what is under way, closes all its guards, and frees it, when no call with it is under way. NULL is nothing to do.
 */
void edictum_driver_free(struct edictum_driver *driver);

/*
 Opens a guard. `op` is `open` or `open_server`, `fields` the JSON object of that operation of the driver protocol
 (docs/driver.md): `guard` (its name), `rulesets`, `options`, `store`, … Guards may have the same name. `setup` has what no
 document can say, or is NULL; it is used up, whatever the result, and must not be freed.

 `guard`: the guard, the caller's to free. `text`: the `result` of the operation. A guard that is opened after the caller
 has cancelled is freed.
 */
enum edictum_status edictum_guard_open(const struct edictum_host *host,
                                       struct edictum_text op,
                                       struct edictum_text fields,
                                       struct edictum_setup *setup,
                                       edictum_done done,
                                       void *user_data,
                                       struct edictum_pending **pending,
                                       struct edictum_answer *answer);

/*
 Frees the handle, when no call with it is under way. The guard itself lives until what is under way in it has ended; it is
 not closed: open calls stay in its store. NULL is nothing to do.
 */
void edictum_guard_free(struct edictum_guard *guard);

/*
 An operation of the driver protocol about this guard, by its name: `reload`, `counters`, `workflow`, `events`, `health`,
 `flush`, `close`, and those of calls, which have functions of their own. `fields`: its fields without `guard` (JSON
 object), or none. `text`: the `result`. After `close` every operation is refused, and who waits is told.
 */
enum edictum_status edictum_guard_request(const struct edictum_guard *guard,
                                          struct edictum_text op,
                                          struct edictum_text fields,
                                          edictum_done done,
                                          void *user_data,
                                          struct edictum_pending **pending,
                                          struct edictum_answer *answer);

/*
 Whose calls they are when neither the call nor a resolver says so: a JSON object, or none for nobody. For later calls.
 */
enum edictum_status edictum_guard_set_principal(const struct edictum_guard *guard,
                                                struct edictum_text principal,
                                                struct edictum_answer *answer);

/*
 What the rules in force say of themselves. `text`: name, mode, rules, report, options, `needs` (JSON); `name`: the revision, SHA-256, hex, as `policy_version` in the decision log.
 */
enum edictum_status edictum_guard_summary(const struct edictum_guard *guard,
                                          struct edictum_answer *answer);

/*
 The `EDICTUM_ABI_VERSION` of this library. A program refuses another one than that of the header it was made with.
 */
uint32_t edictum_abi_version(void);

/*
 The version of this library, as `1.2.3`. Lives for ever.
 */
struct edictum_text edictum_version(void);

/*
 Starts a host. `options`: none, or a JSON object with any of `deciders` (calls decided at the same time; default: the
 number of cores), `memory_bytes` (of each; default 256 MiB), `step_deadline_ms` (inside the engine; default 10,000),
 `callback_deadline_ms` (for each answer of the program; default 30,000). The first start on a machine compiles the engine,
 a second or two; later ones take milliseconds. `host` is set when it is `OK`. In a process that forks, start it after.
 */
enum edictum_status edictum_host_new(struct edictum_text options,
                                     struct edictum_host **host,
                                     struct edictum_answer *answer);

/*
 Frees it, when no call with it is under way. It ends with the last guard of it. NULL is nothing to do.
 */
void edictum_host_free(struct edictum_host *host);

/*
 An operation of the driver protocol that is about no guard, by its name: `hello`, `check`, `templates`. `fields`: a JSON
 object, or none. `text`: the `result`.
 */
enum edictum_status edictum_host_request(const struct edictum_host *host,
                                         struct edictum_text op,
                                         struct edictum_text fields,
                                         edictum_done done,
                                         void *user_data,
                                         struct edictum_pending **pending,
                                         struct edictum_answer *answer);

/*
 Which of these keys signed this text: Ed25519 over exactly its bytes. `signature`: base64 or hex; `keys`: an array of
 public keys, 64 hex digits each (JSON). `text`: the key, `{"key": …}`. `UNAUTHORIZED`: none of them.
 */
enum edictum_status edictum_host_verify(const struct edictum_host *host,
                                        struct edictum_text text,
                                        struct edictum_text signature,
                                        struct edictum_text keys,
                                        struct edictum_answer *answer);

/*
 Lets all guards of this host see this time (milliseconds since 1970) from now on, and waits until what is due then is
 done: for tests.
 */
enum edictum_status edictum_host_set_time(const struct edictum_host *host,
                                          uint64_t now_ms,
                                          struct edictum_answer *answer);

/*
 Where the library's own log goes, for the whole process, once; else nowhere. `level`: `error`, `warn`, `info`, `debug` or
 `trace`. `function` gets lines, from any thread, not as JSON. `CONFLICT`: it has been set before.
 */
enum edictum_status edictum_log(struct edictum_text level,
                                edictum_notice function,
                                void *user_data,
                                edictum_release release,
                                struct edictum_answer *answer);

/*
 Whether the operation was still under way: then `done` will not be called. What has begun goes on to its end all the
 same, unseen; a call that is allowed after all is finished as failed. Who waits for a person stops to wait.
 */
bool edictum_pending_cancel(const struct edictum_pending *pending);

/*
 Frees it; the operation goes on. NULL is nothing to do.
 */
void edictum_pending_free(struct edictum_pending *pending);

/*
 An empty setup, for `edictum_guard_open`.
 */
struct edictum_setup *edictum_setup_new(void);

/*
 Frees one that was not used. NULL is nothing to do.
 */
void edictum_setup_free(struct edictum_setup *setup);

/*
 A custom operator of this name. Question: `{"name", "value", "operand"}`; answer: `true` or `false`.
 */
enum edictum_status edictum_setup_operator(struct edictum_setup *setup,
                                           struct edictum_text name,
                                           edictum_question function,
                                           void *user_data,
                                           edictum_release release,
                                           struct edictum_answer *answer);

/*
 A custom selector with this prefix. Question: `{"prefix", "call"}`; answer: the object that the prefix stands for.
 */
enum edictum_status edictum_setup_selector(struct edictum_setup *setup,
                                           struct edictum_text prefix,
                                           edictum_question function,
                                           void *user_data,
                                           edictum_release release,
                                           struct edictum_answer *answer);

/*
 A hook, after those before it. `place`: `{"name", "tools" (glob; default *), "before", "after"}` (JSON). Question:
 `{"name", "phase": "before" | "after", "call", "output"?}`; answer: `"pass"`, `"skip"` or `{"refuse": why}`.
 */
enum edictum_status edictum_setup_hook(struct edictum_setup *setup,
                                       struct edictum_text place,
                                       edictum_question function,
                                       void *user_data,
                                       edictum_release release,
                                       struct edictum_answer *answer);

/*
 Says whether a tool succeeded, instead of the heuristic. Question: `{"name": "", "phase": "success_check", "call",
 "output"}`; answer: `true` or `false`.
 */
enum edictum_status edictum_setup_success_check(struct edictum_setup *setup,
                                                edictum_question function,
                                                void *user_data,
                                                edictum_release release,
                                                struct edictum_answer *answer);

/*
 Says whose call it is, instead of the principal that was set. Question: the call; answer: an object, or `null` for nobody.
 */
enum edictum_status edictum_setup_principal_resolver(struct edictum_setup *setup,
                                                     edictum_question function,
                                                     void *user_data,
                                                     edictum_release release,
                                                     struct edictum_answer *answer);

/*
 Asks a person, in `edictum_guard_wait`. Question: `{"call_id", "approval"}`; answer: as `outcome` of
 `edictum_guard_settle`. It has until the deadline of the approval.
 */
enum edictum_status edictum_setup_approver(struct edictum_setup *setup,
                                           edictum_question function,
                                           void *user_data,
                                           edictum_release release,
                                           struct edictum_answer *answer);

/*
 Where the decision log goes, instead of the buffer that `events` reads.
 */
enum edictum_status edictum_setup_sink(struct edictum_setup *setup,
                                       edictum_sink function,
                                       void *user_data,
                                       edictum_release release,
                                       struct edictum_answer *answer);

/*
 Is told of every decision, also of one that a deadline has made: `{"call", "call_id", "action": "allow" | "block" | "ask",
 "observed", "policy_error", "reason", "name", "detail"}`. The call is as it came, not redacted.
 */
enum edictum_status edictum_setup_on_decision(struct edictum_setup *setup,
                                              edictum_notice function,
                                              void *user_data,
                                              edictum_release release,
                                              struct edictum_answer *answer);

/*
 Which agent it is.
 */
enum edictum_status edictum_setup_agent_id(struct edictum_setup *setup,
                                           struct edictum_text agent_id,
                                           struct edictum_answer *answer);

/*
 The session of calls that name none; else it is a new one.
 */
enum edictum_status edictum_setup_session_id(struct edictum_setup *setup,
                                             struct edictum_text session_id,
                                             struct edictum_answer *answer);

/*
 How many bytes of events the guard keeps for `events` (default 4 MiB); older ones give way to a record of the gap.
 */
void edictum_setup_event_bytes(struct edictum_setup *setup, size_t bytes);

/*
 Where the library's own log goes, for the whole process, once; else nowhere. `level`: `error`, `warn`, `info`, `debug` or
 `trace`. `function` gets lines, from any thread, not as JSON. `CONFLICT`: it has been set before.
 */
enum edictum_status edictum_log(struct edictum_text level,
                                edictum_notice function,
                                void *user_data,
                                edictum_release release,
                                struct edictum_answer *answer);

/*
 Whether the operation was still under way: then `done` will not be called. What has begun goes on to its end all the
 same, unseen; a call that is allowed after all is finished as failed. Who waits for a person stops to wait.
 */
bool edictum_pending_cancel(const struct edictum_pending *pending);

/*
 Frees it; the operation goes on. NULL is nothing to do.
 */
void edictum_pending_free(struct edictum_pending *pending);

/*
 An empty setup, for `edictum_guard_open`.
 */
struct edictum_setup *edictum_setup_new(void);

/*
 Frees one that was not used. NULL is nothing to do.
 */
void edictum_setup_free(struct edictum_setup *setup);

/*
 A custom operator of this name. Question: `{"name", "value", "operand"}`; answer: `true` or `false`.
 */
enum edictum_status edictum_setup_operator(struct edictum_setup *setup,
                                           struct edictum_text name,
                                           edictum_question function,
                                           void *user_data,
                                           edictum_release release,
                                           struct edictum_answer *answer);

/*
 A custom selector with this prefix. Question: `{"prefix", "call"}`; answer: the object that the prefix stands for.
 */
enum edictum_status edictum_setup_selector(struct edictum_setup *setup,
                                           struct edictum_text prefix,
                                           edictum_question function,
                                           void *user_data,
                                           edictum_release release,
                                           struct edictum_answer *answer);

/*
 A hook, after those before it. `place`: `{"name", "tools" (glob; default *), "before", "after"}` (JSON). Question:
 `{"name", "phase": "before" | "after", "call", "output"?}`; answer: `"pass"`, `"skip"` or `{"refuse": why}`.
 */
enum edictum_status edictum_setup_hook(struct edictum_setup *setup,
                                       struct edictum_text place,
                                       edictum_question function,
                                       void *user_data,
                                       edictum_release release,
                                       struct edictum_answer *answer);

/*
 Says whether a tool succeeded, instead of the heuristic. Question: `{"name": "", "phase": "success_check", "call",
 "output"}`; answer: `true` or `false`.
 */
enum edictum_status edictum_setup_success_check(struct edictum_setup *setup,
                                                edictum_question function,
                                                void *user_data,
                                                edictum_release release,
                                                struct edictum_answer *answer);

/*
 Says whose call it is, instead of the principal that was set. Question: the call; answer: an object, or `null` for nobody.
 */
enum edictum_status edictum_setup_principal_resolver(struct edictum_setup *setup,
                                                     edictum_question function,
                                                     void *user_data,
                                                     edictum_release release,
                                                     struct edictum_answer *answer);

/*
 Asks a person, in `edictum_guard_wait`. Question: `{"call_id", "approval"}`; answer: as `outcome` of
 `edictum_guard_settle`. It has until the deadline of the approval.
 */
enum edictum_status edictum_setup_approver(struct edictum_setup *setup,
                                           edictum_question function,
                                           void *user_data,
                                           edictum_release release,
                                           struct edictum_answer *answer);

/*
 Where the decision log goes, instead of the buffer that `events` reads.
 */
enum edictum_status edictum_setup_sink(struct edictum_setup *setup,
                                       edictum_sink function,
                                       void *user_data,
                                       edictum_release release,
                                       struct edictum_answer *answer);

/*
 Is told of every decision, also of one that a deadline has made: `{"call", "call_id", "action": "allow" | "block" | "ask",
 "observed", "policy_error", "reason", "name", "detail"}`. The call is as it came, not redacted.
 */
enum edictum_status edictum_setup_on_decision(struct edictum_setup *setup,
                                              edictum_notice function,
                                              void *user_data,
                                              edictum_release release,
                                              struct edictum_answer *answer);

/*
 Which agent it is.
 */
enum edictum_status edictum_setup_agent_id(struct edictum_setup *setup,
                                           struct edictum_text agent_id,
                                           struct edictum_answer *answer);

/*
 The session of calls that name none; else it is a new one.
 */
enum edictum_status edictum_setup_session_id(struct edictum_setup *setup,
                                             struct edictum_text session_id,
                                             struct edictum_answer *answer);

/*
 How many bytes of events the guard keeps for `events` (default 4 MiB); older ones give way to a record of the gap.
 */
void edictum_setup_event_bytes(struct edictum_setup *setup, size_t bytes);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EDICTUM_H */
