/* libedictum for Node, by Node-API: what the header says, with values of JavaScript's. `src/native/library.js` is what uses it.
 *
 * Every operation ends at once when it can, and then its answer is returned; else a promise is. Nothing here waits. What the library
 * says on its own threads (ends of operations, questions, events) comes to the thread of JavaScript through one queue.
 *
 * Handles are counted: an operation that is under way holds its guard. */

#include <dlfcn.h>
#include <node_api.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "edictum.h"

/* The functions of the library that are used, looked up when it is opened. */
#define FUNCTIONS(X)                                                                                                       \
    X(edictum_abi_version) X(edictum_answer_free) X(edictum_reply_answer) X(edictum_reply_fail) X(edictum_guard_evaluate)  \
    X(edictum_guard_begin) X(edictum_guard_settle) X(edictum_guard_wait) X(edictum_guard_finish) X(edictum_guard_open)     \
    X(edictum_guard_free) X(edictum_guard_request) X(edictum_guard_set_principal) X(edictum_guard_summary)                 \
    X(edictum_host_new) X(edictum_host_free) X(edictum_host_request) X(edictum_setup_new) X(edictum_setup_free)            \
    X(edictum_setup_operator) X(edictum_setup_selector) X(edictum_setup_hook) X(edictum_setup_success_check)               \
    X(edictum_setup_principal_resolver) X(edictum_setup_sink) X(edictum_setup_agent_id) X(edictum_setup_session_id)

static struct {
#define DECLARED(name) __typeof__(&name) name;
    FUNCTIONS(DECLARED)
#undef DECLARED
    void *library;
} lib;

/* A handle of the library's. The last who holds it frees it. */
typedef struct {
    atomic_int holders;
    edictum_host *host;
    edictum_guard *guard;
} handle;

static void let_go(handle *held) {
    if (atomic_fetch_sub(&held->holders, 1) != 1) return;
    if (held->guard) lib.edictum_guard_free(held->guard);
    if (held->host) lib.edictum_host_free(held->host);
    free(held);
}

/* A text of our own. */
typedef struct {
    char *bytes;
    size_t length;
} string;

static string copied(edictum_text text) {
    string copy = {NULL, 0};
    if (!text.bytes) return copy;
    copy.bytes = malloc(text.length + 1);
    if (!copy.bytes) abort();
    memcpy(copy.bytes, text.bytes, text.length);
    copy.length = text.length;
    return copy;
}

static edictum_text text_of(string of) {
    return (edictum_text){(const uint8_t *)of.bytes, of.length};
}

/* What comes to the thread of JavaScript. */
typedef enum { ENDED, ASKED, LOGGED } kind;

enum { TEXT, CALL_ID, REASON, NAME, VALUE, WARNINGS, TEXTS };

typedef struct message message;

/* Of one environment of JavaScript's: its queue, and how many operations keep it alive. */
typedef struct {
    napi_threadsafe_function queue;
    pthread_t thread;
    /* Events of the operation that this thread is in: they come before its end does. */
    message *first, **last;
    atomic_int holders;
    int under_way;
    /* The queue goes with the environment: nobody may use it then. */
    pthread_mutex_t open;
    bool over;
} place;

/* What a guard asks and tells: the program's function, called with what it is about. */
typedef struct {
    atomic_int holders;
    napi_ref function;
    place *place;
} listener;

typedef struct {
    listener *listener;
    string about;
} asker;

struct message {
    kind kind;
    message *next;
    /* Of an end. */
    napi_deferred deferred;
    place *place;
    handle *held;
    edictum_status status;
    edictum_action action;
    uint32_t flags;
    string texts[TEXTS];
    edictum_guard *guard;
    /* Of a question or of events. */
    listener *listener;
    string about;
    edictum_reply *reply;
};

static message *new_message(kind of) {
    message *made = calloc(1, sizeof *made);
    if (!made) abort();
    made->kind = of;
    return made;
}

static void free_message(message *one) {
    for (int at = 0; at < TEXTS; at += 1) free(one->texts[at].bytes);
    free(one->about.bytes);
    free(one);
}

static void leave(place *at) {
    if (atomic_fetch_sub(&at->holders, 1) != 1) return;
    pthread_mutex_destroy(&at->open);
    free(at);
}

/* Whether it will be heard. */
static bool post(place *at, message *one) {
    pthread_mutex_lock(&at->open);
    bool posted = !at->over && napi_call_threadsafe_function(at->queue, one, napi_tsfn_nonblocking) == napi_ok;
    pthread_mutex_unlock(&at->open);
    return posted;
}

static void take_answer(message *into, const edictum_answer *answer) {
    into->status = answer->status;
    into->action = answer->action;
    into->flags = answer->flags;
    into->guard = answer->guard;
    const edictum_text texts[TEXTS] = {answer->text,  answer->call_id, answer->reason,
                                       answer->name,  answer->value,   answer->warnings};
    for (int at = 0; at < TEXTS; at += 1) into->texts[at] = copied(texts[at]);
}

/* On a thread of the library. */
static void done(void *user_data, const edictum_answer *answer) {
    message *end = user_data;
    place *at = end->place;
    take_answer(end, answer);
    if (!post(at, end)) {
        if (end->guard) lib.edictum_guard_free(end->guard);
        let_go(end->held);
        free_message(end);
    }
    leave(at);
}

static void asked(void *user_data, edictum_text question, edictum_reply *reply) {
    asker *who = user_data;
    message *one = new_message(ASKED);
    one->listener = who->listener;
    one->about = copied(text_of(who->about));
    one->texts[TEXT] = copied(question);
    one->reply = reply;
    atomic_fetch_add(&who->listener->holders, 1);
    if (post(who->listener->place, one)) return;
    atomic_fetch_sub(&who->listener->holders, 1);
    static const char gone[] = "the program has ended";
    lib.edictum_reply_fail(reply, (edictum_text){(const uint8_t *)gone, sizeof gone - 1});
    free_message(one);
}

static bool logged(void *user_data, const edictum_text *events, size_t count) {
    asker *who = user_data;
    for (size_t at = 0; at < count; at += 1) {
        message *one = new_message(LOGGED);
        one->listener = who->listener;
        one->texts[TEXT] = copied(events[at]);
        one->about = copied(text_of(who->about));
        atomic_fetch_add(&who->listener->holders, 1);
        place *to = who->listener->place;
        if (pthread_equal(pthread_self(), to->thread)) {
            *to->last = one;
            to->last = &one->next;
            continue;
        }
        if (post(who->listener->place, one)) continue;
        atomic_fetch_sub(&who->listener->holders, 1);
        free_message(one);
        return false;
    }
    return true;
}

/* Values of JavaScript's. */

static napi_value string_or_undefined(napi_env env, string of) {
    napi_value value;
    if (!of.bytes) napi_get_undefined(env, &value);
    else napi_create_string_utf8(env, of.bytes, of.length, &value);
    return value;
}

static void set(napi_env env, napi_value object, const char *name, napi_value value) {
    napi_set_named_property(env, object, name, value);
}

static void set_number(napi_env env, napi_value object, const char *name, uint32_t number) {
    napi_value value;
    napi_create_uint32(env, number, &value);
    set(env, object, name, value);
}

static void finalize_handle(napi_env env, void *data, void *hint) {
    (void)env;
    (void)hint;
    let_go(data);
}

static napi_value external(napi_env env, handle *held) {
    napi_value value;
    napi_create_external(env, held, finalize_handle, NULL, &value);
    return value;
}

static napi_value answer_value(napi_env env, message *end) {
    static const char *const names[TEXTS] = {"text", "callId", "reason", "name", "value", "warnings"};
    napi_value object;
    napi_create_object(env, &object);
    set_number(env, object, "status", end->status);
    set_number(env, object, "action", end->action);
    set_number(env, object, "flags", end->flags);
    for (int at = 0; at < TEXTS; at += 1) {
        if (end->texts[at].bytes) set(env, object, names[at], string_or_undefined(env, end->texts[at]));
    }
    if (end->guard) {
        handle *held = calloc(1, sizeof *held);
        if (!held) abort();
        atomic_init(&held->holders, 1);
        held->guard = end->guard;
        set(env, object, "guard", external(env, held));
    }
    return object;
}

static void finalize_reply(napi_env env, void *data, void *hint) {
    (void)env;
    (void)hint;
    edictum_reply **reply = data;
    static const char none[] = "the program gave no answer";
    if (*reply) lib.edictum_reply_fail(*reply, (edictum_text){(const uint8_t *)none, sizeof none - 1});
    free(reply);
}

/* The queue's end: on the thread of JavaScript, or without one when that is over. */
static void heard(napi_env env, napi_value unused, void *context, void *data) {
    (void)unused;
    place *at = context;
    message *one = data;
    if (one->kind == ENDED) {
        if (env) {
            napi_resolve_deferred(env, one->deferred, answer_value(env, one));
            at->under_way -= 1;
            if (at->under_way == 0) napi_unref_threadsafe_function(env, at->queue);
        } else if (one->guard) {
            lib.edictum_guard_free(one->guard);
        }
        let_go(one->held);
        free_message(one);
        return;
    }
    listener *who = one->listener;
    edictum_reply **reply = NULL;
    if (one->kind == ASKED) {
        reply = malloc(sizeof *reply);
        if (!reply) abort();
        *reply = one->reply;
    }
    /* The last message of a listener has nothing to say. */
    if (env && one->texts[TEXT].bytes) {
        napi_value function, global, arguments[3], ignored;
        napi_get_reference_value(env, who->function, &function);
        napi_get_global(env, &global);
        arguments[0] = string_or_undefined(env, one->texts[TEXT]);
        arguments[1] = string_or_undefined(env, one->about);
        if (reply) napi_create_external(env, reply, finalize_reply, NULL, &arguments[2]);
        else napi_get_undefined(env, &arguments[2]);
        if (napi_call_function(env, global, function, 3, arguments, &ignored) == napi_pending_exception) {
            napi_value error;
            napi_get_and_clear_last_exception(env, &error);
        }
    } else if (reply) {
        finalize_reply(NULL, reply, NULL);
    }
    if (atomic_fetch_sub(&who->holders, 1) == 1) {
        if (env && who->function) napi_delete_reference(env, who->function);
        leave(who->place);
        free(who);
    }
    free_message(one);
}

/* When nobody of the library uses it any more. The function is let go on its own thread. */
static void release_asker(void *user_data) {
    asker *who = user_data;
    message *last = new_message(LOGGED);
    last->listener = who->listener;
    /* The queue takes our share: it is told nothing more. */
    if (!post(who->listener->place, last)) free_message(last);
    free(who->about.bytes);
    free(who);
}

/* Arguments. */

static napi_value fail(napi_env env, const char *message) {
    napi_throw_error(env, NULL, message);
    return NULL;
}

static string string_argument(napi_env env, napi_value value) {
    string taken = {NULL, 0};
    napi_valuetype type;
    napi_typeof(env, value, &type);
    if (type != napi_string) return taken;
    size_t length = 0;
    napi_get_value_string_utf8(env, value, NULL, 0, &length);
    taken.bytes = malloc(length + 1);
    if (!taken.bytes) abort();
    napi_get_value_string_utf8(env, value, taken.bytes, length + 1, &taken.length);
    return taken;
}

static handle *handle_argument(napi_env env, napi_value value) {
    void *data = NULL;
    napi_valuetype type;
    napi_typeof(env, value, &type);
    if (type == napi_external) napi_get_value_external(env, value, &data);
    return data;
}

static place *place_of(napi_env env) {
    void *data = NULL;
    napi_get_instance_data(env, &data);
    return data;
}

enum { MOST = 8 };

/* Arguments as texts, from the second on; those that are no strings are none. */
static size_t arguments_of(napi_env env, napi_callback_info info, napi_value values[MOST], string texts[MOST]) {
    size_t count = MOST;
    napi_get_cb_info(env, info, &count, values, NULL, NULL);
    for (size_t at = 0; at < MOST; at += 1) texts[at] = at < count ? string_argument(env, values[at]) : (string){NULL, 0};
    return count;
}

static void free_texts(string texts[MOST]) {
    for (size_t at = 0; at < MOST; at += 1) free(texts[at].bytes);
}

/* An operation: what it is done to, and where its end goes. */
typedef struct {
    message *end;
    napi_value promise;
    edictum_answer answer;
} operation;

static operation start(napi_env env, handle *held) {
    operation begun = {.end = new_message(ENDED)};
    begun.end->place = place_of(env);
    begun.end->held = held;
    atomic_fetch_add(&held->holders, 1);
    atomic_fetch_add(&begun.end->place->holders, 1);
    napi_create_promise(env, &begun.end->deferred, &begun.promise);
    return begun;
}

static napi_value ended(napi_env env, operation *begun, edictum_status status) {
    place *at = place_of(env);
    while (at->first) {
        message *event = at->first;
        at->first = event->next;
        if (!at->first) at->last = &at->first;
        heard(env, NULL, at, event);
    }
    if (status == EDICTUM_STATUS_PENDING) {
        /* `begun->end` is the library's now. */
        if (at->under_way == 0) napi_ref_threadsafe_function(env, at->queue);
        at->under_way += 1;
        return begun->promise;
    }
    take_answer(begun->end, &begun->answer);
    lib.edictum_answer_free(&begun->answer);
    napi_value value = answer_value(env, begun->end);
    /* Nobody has seen the promise; one that is never settled would be kept. */
    napi_value none;
    napi_get_undefined(env, &none);
    napi_resolve_deferred(env, begun->end->deferred, none);
    let_go(begun->end->held);
    leave(at);
    free_message(begun->end);
    return value;
}

/* guardCall(guard, op, …): `evaluate`, `begin`, `settle`, `wait`, `finish`, or an operation of the driver protocol. */
static napi_value guard_call(napi_env env, napi_callback_info info) {
    napi_value values[MOST];
    string texts[MOST];
    size_t count = arguments_of(env, info, values, texts);
    handle *held = count > 1 ? handle_argument(env, values[0]) : NULL;
    if (!held || !held->guard || !texts[1].bytes) {
        free_texts(texts);
        return fail(env, "this takes a guard and the name of an operation");
    }
    operation begun = start(env, held);
    edictum_guard *guard = held->guard;
    edictum_text first = text_of(texts[2]), second = text_of(texts[3]);
    const char *op = texts[1].bytes;
    edictum_status status;
    if (strcmp(op, "evaluate") == 0) {
        status = lib.edictum_guard_evaluate(guard, first, second, done, begun.end, NULL, &begun.answer);
    } else if (strcmp(op, "begin") == 0) {
        edictum_call call = {first, second, text_of(texts[4]), text_of(texts[5])};
        status = lib.edictum_guard_begin(guard, &call, done, begun.end, NULL, &begun.answer);
    } else if (strcmp(op, "settle") == 0) {
        status = lib.edictum_guard_settle(guard, first, second, done, begun.end, NULL, &begun.answer);
    } else if (strcmp(op, "wait") == 0) {
        status = lib.edictum_guard_wait(guard, first, second, done, begun.end, NULL, &begun.answer);
    } else if (strcmp(op, "finish") == 0) {
        int32_t success = EDICTUM_TOOL_UNKNOWN;
        if (count > 4) napi_get_value_int32(env, values[4], &success);
        status = lib.edictum_guard_finish(guard, first, second, success, done, begun.end, NULL, &begun.answer);
    } else {
        status = lib.edictum_guard_request(guard, text_of(texts[1]), first, done, begun.end, NULL, &begun.answer);
    }
    free_texts(texts);
    return ended(env, &begun, status);
}

/* guardSummary(guard), guardSetPrincipal(guard, principal): at once. */
static napi_value guard_now(napi_env env, napi_callback_info info) {
    napi_value values[MOST];
    string texts[MOST];
    void *what;
    size_t count = MOST;
    napi_get_cb_info(env, info, &count, values, NULL, &what);
    arguments_of(env, info, values, texts);
    handle *held = count > 0 ? handle_argument(env, values[0]) : NULL;
    if (!held || !held->guard) {
        free_texts(texts);
        return fail(env, "this takes a guard");
    }
    operation begun = start(env, held);
    edictum_status status = what ? lib.edictum_guard_set_principal(held->guard, text_of(texts[1]), &begun.answer)
                                 : lib.edictum_guard_summary(held->guard, &begun.answer);
    free_texts(texts);
    return ended(env, &begun, status);
}

/* hostRequest(host, op, fields) */
static napi_value host_request(napi_env env, napi_callback_info info) {
    napi_value values[MOST];
    string texts[MOST];
    size_t count = arguments_of(env, info, values, texts);
    handle *held = count > 1 ? handle_argument(env, values[0]) : NULL;
    if (!held || !held->host) {
        free_texts(texts);
        return fail(env, "this takes a host and the name of an operation");
    }
    operation begun = start(env, held);
    edictum_status status = lib.edictum_host_request(held->host, text_of(texts[1]), text_of(texts[2]), done, begun.end, NULL,
                                                     &begun.answer);
    free_texts(texts);
    return ended(env, &begun, status);
}

typedef edictum_status (*named_setter)(edictum_setup *, edictum_text, edictum_question, void *, edictum_release,
                                       edictum_answer *);
typedef edictum_status (*plain_setter)(edictum_setup *, edictum_question, void *, edictum_release, edictum_answer *);

static asker *new_asker(listener *of, edictum_text about) {
    asker *made = calloc(1, sizeof *made);
    if (!made) abort();
    made->listener = of;
    made->about = copied(about);
    atomic_fetch_add(&of->holders, 1);
    return made;
}

/* One entry of a setup, as `[kind, name]`. */
static bool prepare(edictum_setup *setup, listener *of, const char *what, edictum_text name, edictum_answer *answer) {
    named_setter named = strcmp(what, "operator") == 0   ? lib.edictum_setup_operator
                         : strcmp(what, "selector") == 0 ? lib.edictum_setup_selector
                         : strcmp(what, "hook") == 0     ? lib.edictum_setup_hook
                                                         : NULL;
    plain_setter plain = strcmp(what, "success_check") == 0        ? lib.edictum_setup_success_check
                         : strcmp(what, "principal_resolver") == 0 ? lib.edictum_setup_principal_resolver
                                                                   : NULL;
    edictum_text about = {(const uint8_t *)what, strlen(what)};
    if (named) return named(setup, name, asked, new_asker(of, about), release_asker, answer) == EDICTUM_STATUS_OK;
    if (plain) return plain(setup, asked, new_asker(of, about), release_asker, answer) == EDICTUM_STATUS_OK;
    if (strcmp(what, "sink") == 0) {
        return lib.edictum_setup_sink(setup, logged, new_asker(of, about), release_asker, answer) == EDICTUM_STATUS_OK;
    }
    if (strcmp(what, "agent_id") == 0) return lib.edictum_setup_agent_id(setup, name, answer) == EDICTUM_STATUS_OK;
    return lib.edictum_setup_session_id(setup, name, answer) == EDICTUM_STATUS_OK;
}

/* guardOpen(host, op, fields, entries, listener): entries are `[kind, name]`; the listener gets (text, kind, reply). */
static napi_value guard_open(napi_env env, napi_callback_info info) {
    napi_value values[MOST];
    string texts[MOST];
    size_t count = arguments_of(env, info, values, texts);
    handle *held = count > 4 ? handle_argument(env, values[0]) : NULL;
    if (!held || !held->host) {
        free_texts(texts);
        return fail(env, "this takes a host, an operation, its fields, entries and a listener");
    }
    place *at = place_of(env);
    listener *of = calloc(1, sizeof *of);
    if (!of) abort();
    of->place = at;
    atomic_fetch_add(&at->holders, 1);
    /* Ours, until everything is set up. */
    atomic_init(&of->holders, 1);
    napi_create_reference(env, values[4], 1, &of->function);

    operation begun = start(env, held);
    edictum_setup *setup = lib.edictum_setup_new();
    uint32_t entries = 0;
    napi_get_array_length(env, values[3], &entries);
    bool good = true;
    for (uint32_t entry = 0; good && entry < entries; entry += 1) {
        napi_value pair, part;
        napi_get_element(env, values[3], entry, &pair);
        napi_get_element(env, pair, 0, &part);
        string what = string_argument(env, part);
        napi_get_element(env, pair, 1, &part);
        string name = string_argument(env, part);
        good = prepare(setup, of, what.bytes ? what.bytes : "", text_of(name), &begun.answer);
        if (good) lib.edictum_answer_free(&begun.answer);
        free(what.bytes);
        free(name.bytes);
    }
    edictum_status status = begun.answer.status;
    if (good) {
        status = lib.edictum_guard_open(held->host, text_of(texts[1]), text_of(texts[2]), setup, done, begun.end, NULL,
                                        &begun.answer);
    } else {
        lib.edictum_setup_free(setup);
    }
    free_texts(texts);
    napi_value result = ended(env, &begun, status);
    if (atomic_fetch_sub(&of->holders, 1) == 1) {
        napi_delete_reference(env, of->function);
        leave(at);
        free(of);
    }
    return result;
}

/* reply(reply, json | undefined, reason): the first counts. */
static napi_value reply(napi_env env, napi_callback_info info) {
    napi_value values[MOST];
    string texts[MOST];
    size_t count = arguments_of(env, info, values, texts);
    void *data = NULL;
    if (count > 0) napi_get_value_external(env, values[0], &data);
    edictum_reply **waiting = data;
    if (waiting && *waiting) {
        if (texts[1].bytes) lib.edictum_reply_answer(*waiting, text_of(texts[1]));
        else lib.edictum_reply_fail(*waiting, text_of(texts[2]));
        *waiting = NULL;
    }
    free_texts(texts);
    return NULL;
}

/* The host is made on a thread of libuv's: the first time on a machine it compiles the engine. */
typedef struct {
    napi_async_work work;
    message *end;
    string options;
    edictum_host *host;
    edictum_answer answer;
} starting;

static void make_host(napi_env env, void *data) {
    (void)env;
    starting *one = data;
    lib.edictum_host_new(text_of(one->options), &one->host, &one->answer);
}

static void host_made(napi_env env, napi_status status, void *data) {
    (void)status;
    starting *one = data;
    take_answer(one->end, &one->answer);
    lib.edictum_answer_free(&one->answer);
    napi_value object = answer_value(env, one->end);
    if (one->host) {
        handle *held = calloc(1, sizeof *held);
        if (!held) abort();
        atomic_init(&held->holders, 1);
        held->host = one->host;
        set(env, object, "host", external(env, held));
    }
    napi_resolve_deferred(env, one->end->deferred, object);
    napi_delete_async_work(env, one->work);
    free_message(one->end);
    free(one->options.bytes);
    free(one);
}

/* hostNew(options) */
static napi_value host_new(napi_env env, napi_callback_info info) {
    napi_value values[MOST], promise, name;
    string texts[MOST];
    arguments_of(env, info, values, texts);
    if (!lib.library) {
        free_texts(texts);
        return fail(env, "the library is not open");
    }
    starting *one = calloc(1, sizeof *one);
    if (!one) abort();
    one->end = new_message(ENDED);
    one->options = texts[0];
    texts[0].bytes = NULL;
    free_texts(texts);
    napi_create_promise(env, &one->end->deferred, &promise);
    napi_create_string_utf8(env, "edictum host", NAPI_AUTO_LENGTH, &name);
    napi_create_async_work(env, NULL, name, make_host, host_made, one, &one->work);
    napi_queue_async_work(env, one->work);
    return promise;
}

/* open(path): once for the process. */
static napi_value open_library(napi_env env, napi_callback_info info) {
    napi_value values[MOST];
    string texts[MOST];
    arguments_of(env, info, values, texts);
    if (lib.library) {
        free_texts(texts);
        return NULL;
    }
    void *library = texts[0].bytes ? dlopen(texts[0].bytes, RTLD_NOW | RTLD_LOCAL) : NULL;
    free_texts(texts);
    if (!library) return fail(env, "libedictum cannot be opened");
#define LOOKED_UP(name)                                                                                                    \
    if (!(lib.name = (__typeof__(&name))dlsym(library, #name))) return fail(env, "libedictum has no " #name);
    FUNCTIONS(LOOKED_UP)
#undef LOOKED_UP
    if (lib.edictum_abi_version() != EDICTUM_ABI_VERSION) return fail(env, "libedictum has another version");
    lib.library = library;
    return NULL;
}

/* The environment goes: what the library still says is heard by nobody. */
static void closing(void *data) {
    place *at = data;
    pthread_mutex_lock(&at->open);
    at->over = true;
    pthread_mutex_unlock(&at->open);
}

static void gone(napi_env env, void *data, void *hint) {
    (void)env;
    (void)hint;
    leave(data);
}

NAPI_MODULE_INIT() {
    place *at = calloc(1, sizeof *at);
    if (!at) abort();
    atomic_init(&at->holders, 1);
    pthread_mutex_init(&at->open, NULL);
    at->thread = pthread_self();
    at->last = &at->first;
    napi_value name;
    napi_create_string_utf8(env, "edictum", NAPI_AUTO_LENGTH, &name);
    if (napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, at, heard, &at->queue) != napi_ok) {
        free(at);
        return fail(env, "there is no queue");
    }
    napi_unref_threadsafe_function(env, at->queue);
    napi_set_instance_data(env, at, gone, NULL);
    /* After the queue's own hook, and so before it. */
    napi_add_env_cleanup_hook(env, closing, at);
    static const struct {
        const char *name;
        napi_callback function;
        void *data;
    } functions[] = {
        {"open", open_library, NULL},       {"hostNew", host_new, NULL},       {"hostRequest", host_request, NULL},
        {"guardOpen", guard_open, NULL},    {"guardCall", guard_call, NULL},   {"guardSummary", guard_now, NULL},
        {"guardSetPrincipal", guard_now, &lib}, {"reply", reply, NULL},
    };
    for (size_t at_function = 0; at_function < sizeof functions / sizeof *functions; at_function += 1) {
        napi_value function;
        napi_create_function(env, functions[at_function].name, NAPI_AUTO_LENGTH, functions[at_function].function,
                             functions[at_function].data, &function);
        set(env, exports, functions[at_function].name, function);
    }
    return exports;
}
