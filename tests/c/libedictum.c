/* A C program that uses libedictum, all of it: what comes back, who frees what, threads, callbacks, giving up. Every check
 * that fails is told; the exit code says whether there was one. */

#include "edictum.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int checks, failures;

static void check(bool good, const char *what, int line) {
    atomic_fetch_add(&checks, 1);
    if (!good) {
        atomic_fetch_add(&failures, 1);
        fprintf(stderr, "line %d: %s\n", line, what);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

static edictum_text text(const char *string) {
    return (edictum_text){(const uint8_t *)string, strlen(string)};
}
static const edictum_text NONE = {NULL, 0};

static bool is(edictum_text text, const char *expected) {
    return text.bytes && text.length == strlen(expected) && !memcmp(text.bytes, expected, text.length);
}

static bool has(edictum_text text, const char *part) {
    size_t length = strlen(part);
    for (size_t at = 0; text.bytes && at + length <= text.length; at++)
        if (!memcmp(text.bytes + at, part, length)) return true;
    return false;
}

#define RULES(rules)                                                                                                           \
    "{\"guard\":\"c\",\"rulesets\":[{\"name\":\"rules.yaml\",\"yaml\":\"apiVersion: edictum/v1\\nkind: Ruleset\\n"            \
    "metadata: {name: c}\\ndefaults: {mode: enforce}\\nrules:\\n" rules "\"}]}"

static const char *PLAIN = RULES(
    "  - {id: no-rm, type: pre, tool: Bash, when: {args.command: {contains: rm}}, then: {action: block, message: no rm}}\\n"
    "  - {id: ask, type: pre, tool: Deploy, when: {args.to: {exists: true}}, then: {action: ask, message: deploy?}}\\n"
    "  - {id: keys, type: post, tool: '*', when: {output.text: {matches: 'sk-[a-z]+'}}, then: {action: redact, message: k}}\\n");

static const char *CUSTOM = RULES(
    "  - {id: near, type: pre, tool: Bash, when: {args.n: {near: 10}}, then: {action: block, message: near}}\\n"
    "  - {id: tier, type: pre, tool: Bash, when: {user.tier: {equals: free}}, then: {action: block, message: tier}}\\n"
    "  - {id: who, type: pre, tool: Bash, when: {principal.role: {equals: guest}}, then: {action: block, message: who}}\\n");

/* One answer that comes later. */
struct later {
    pthread_mutex_t lock;
    pthread_cond_t came;
    int times;
    edictum_status status;
    edictum_action action;
    edictum_guard *guard;
};

static void later_new(struct later *later) {
    memset(later, 0, sizeof *later);
    pthread_mutex_init(&later->lock, NULL);
    pthread_cond_init(&later->came, NULL);
}

static void later_done(void *user_data, const edictum_answer *answer) {
    struct later *later = user_data;
    pthread_mutex_lock(&later->lock);
    later->times++;
    later->status = answer->status;
    later->action = answer->action;
    later->guard = answer->guard;
    pthread_cond_signal(&later->came);
    pthread_mutex_unlock(&later->lock);
}

static void later_wait(struct later *later) {
    pthread_mutex_lock(&later->lock);
    while (!later->times) pthread_cond_wait(&later->came, &later->lock);
    pthread_mutex_unlock(&later->lock);
}

static edictum_guard *opened(edictum_host *host, const char *fields, edictum_setup *setup) {
    edictum_answer answer;
    edictum_status status = edictum_guard_open(host, text("open"), text(fields), setup, NULL, NULL, NULL, &answer);
    CHECK(status == EDICTUM_STATUS_OK);
    if (status != EDICTUM_STATUS_OK) fprintf(stderr, "%.*s\n", (int)answer.text.length, answer.text.bytes);
    edictum_guard *guard = answer.guard;
    CHECK(guard != NULL && has(answer.text, "\"policy_version\":\""));
    edictum_answer_free(&answer);
    if (!guard) exit(1);
    return guard;
}

static edictum_status begin_in(edictum_guard *guard, const char *session, const char *call, const char *call_id, edictum_answer *answer) {
    edictum_call request = {text(call), text(session), call_id ? text(call_id) : NONE, NONE};
    return edictum_guard_begin(guard, &request, NULL, NULL, NULL, answer);
}

static edictum_status begin(edictum_guard *guard, const char *call, const char *call_id, edictum_answer *answer) {
    return begin_in(guard, "s", call, call_id, answer);
}

static void a_call_from_begin_to_end(edictum_host *host) {
    edictum_guard *guard = opened(host, PLAIN, NULL);
    edictum_answer answer;
    CHECK(begin(guard, "{\"tool\":\"Bash\",\"args\":{\"command\":\"rm x\"}}", NULL, &answer) == EDICTUM_STATUS_OK);
    CHECK(answer.action == EDICTUM_ACTION_BLOCK && is(answer.reason, "no rm") && is(answer.name, "no-rm"));
    CHECK(has(answer.text, "\"rules_evaluated\"") && answer.flags == 0 && !answer.value.bytes);
    edictum_answer_free(&answer);
    edictum_answer_free(&answer);

    CHECK(begin(guard, "{\"tool\":\"Bash\",\"args\":{\"command\":\"env\"}}", "c1", &answer) == EDICTUM_STATUS_OK);
    CHECK(answer.action == EDICTUM_ACTION_ALLOW && is(answer.call_id, "c1") && is(answer.reason, ""));
    edictum_answer_free(&answer);
    CHECK(edictum_guard_finish(guard, text("c1"), text("\"KEY=sk-abc\""), EDICTUM_TOOL_UNKNOWN, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
    CHECK(is(answer.value, "\"KEY=[REDACTED]\"") && has(answer.text, "\"redacted\":true") && has(answer.warnings, "["));
    CHECK(answer.flags == EDICTUM_FLAG_SUCCESS);
    edictum_answer_free(&answer);
    CHECK(edictum_guard_finish(guard, text("c1"), text("1.0"), EDICTUM_TOOL_UNKNOWN, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_NOT_FOUND);
    CHECK(has(answer.text, "\"code\":\"not-found\""));
    edictum_answer_free(&answer);

    CHECK(edictum_guard_evaluate(guard, text("{\"tool\":\"Bash\",\"args\":{\"command\":\"rm\"}}"), NONE, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
    CHECK(has(answer.text, "\"decision\":\"block\""));
    edictum_answer_free(&answer);

    CHECK(edictum_guard_request(guard, text("counters"), text("{\"session_id\":\"s\"}"), NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
    CHECK(has(answer.text, "\"attempts\":2"));
    edictum_answer_free(&answer);
    CHECK(edictum_guard_request(guard, text("events"), NONE, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
    CHECK(has(answer.text, "\"call_blocked\"") && has(answer.text, "\"call_executed\""));
    edictum_answer_free(&answer);
    CHECK(edictum_guard_summary(guard, &answer) == EDICTUM_STATUS_OK && answer.name.length == 64 && has(answer.text, "\"no-rm\""));
    edictum_answer_free(&answer);

    CHECK(edictum_guard_set_principal(guard, text("{\"role\":\"dev\"}"), NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_guard_set_principal(guard, NONE, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_guard_set_principal(guard, text("7"), NULL) == EDICTUM_STATUS_BAD_REQUEST);
    CHECK(edictum_guard_request(guard, text("close"), NONE, NULL, NULL, NULL, NULL) == EDICTUM_STATUS_OK);
    CHECK(begin(guard, "{\"tool\":\"Bash\",\"args\":{}}", NULL, NULL) == EDICTUM_STATUS_CLOSED);
    edictum_guard_free(guard);
}

static void what_is_wrong_is_said(edictum_host *host) {
    edictum_answer answer;
    CHECK(edictum_guard_open(host, text("open"), text(RULES("  - {id: x, typo: pre}\\n")), edictum_setup_new(), NULL, NULL, NULL, &answer) == EDICTUM_STATUS_REFUSED);
    CHECK(has(answer.text, "\"diagnostics\":[{") && has(answer.text, "\"line\":"));
    edictum_answer_free(&answer);
    CHECK(edictum_guard_open(NULL, text("open"), text("{}"), NULL, NULL, NULL, NULL, NULL) == EDICTUM_STATUS_BAD_REQUEST);
    CHECK(edictum_guard_open(host, text("open"), NONE, NULL, NULL, NULL, NULL, NULL) == EDICTUM_STATUS_BAD_REQUEST);
    CHECK(edictum_guard_open(host, text("unheard"), text("{}"), NULL, NULL, NULL, NULL, NULL) == EDICTUM_STATUS_UNSUPPORTED);
    CHECK(edictum_guard_begin(NULL, NULL, NULL, NULL, NULL, NULL) == EDICTUM_STATUS_BAD_REQUEST);
    edictum_text broken = {(const uint8_t *)"\xff\xfe", 2};
    CHECK(edictum_host_request(host, broken, NONE, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_BAD_REQUEST);
    CHECK(has(answer.text, "UTF-8"));
    edictum_answer_free(&answer);
    edictum_guard *guard = opened(host, PLAIN, NULL);
    CHECK(begin(guard, "[]", NULL, &answer) == EDICTUM_STATUS_BAD_REQUEST);
    edictum_answer_free(&answer);
    CHECK(edictum_guard_request(guard, text("reload"), text("{\"yaml\":\"no\"}"), NULL, NULL, NULL, NULL) == EDICTUM_STATUS_REFUSED);
    edictum_guard_free(guard);

    CHECK(edictum_host_request(host, text("templates"), NONE, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
    CHECK(has(answer.text, "\"templates\":[{"));
    edictum_answer_free(&answer);
    CHECK(edictum_host_request(host, text("check"), text("{\"rulesets\":[]}"), NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
    edictum_answer_free(&answer);
    /* The first vector of RFC 8032 signs nothing at all. */
    const char *key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const char *keys = "[\"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\"]";
    const char *signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
    CHECK(edictum_host_verify(host, text(""), text(signature), text(keys), &answer) == EDICTUM_STATUS_OK && has(answer.text, key));
    edictum_answer_free(&answer);
    CHECK(edictum_host_verify(host, text("x"), text(signature), text(keys), NULL) == EDICTUM_STATUS_UNAUTHORIZED);
    CHECK(edictum_host_new(text("{\"decider\":1}"), NULL, NULL) == EDICTUM_STATUS_BAD_REQUEST);
}

/* Callbacks: some answer at once, some later and from a thread of their own. */
static atomic_int released, asked, told, logged;

static void release(void *user_data) {
    free(user_data);
    atomic_fetch_add(&released, 1);
}

struct delayed {
    edictum_reply *reply;
    const char *answer;
};

static void *answer_later(void *user_data) {
    struct delayed *delayed = user_data;
    usleep(20000);
    edictum_reply_answer(delayed->reply, text(delayed->answer));
    free(delayed);
    return NULL;
}

static void question(void *user_data, edictum_text question, edictum_reply *reply) {
    const char *answer = user_data;
    atomic_fetch_add(&asked, 1);
    CHECK(question.length > 2 && question.bytes[0] == '{');
    if (!strcmp(answer, "fail")) {
        edictum_reply_fail(reply, text("not today"));
    } else if (answer[0] == '+') {
        struct delayed *delayed = malloc(sizeof *delayed);
        *delayed = (struct delayed){reply, answer + 1};
        pthread_t thread;
        pthread_create(&thread, NULL, answer_later, delayed);
        pthread_detach(thread);
    } else {
        edictum_reply_answer(reply, text(answer));
    }
}

static void notice(void *user_data, edictum_text notice) {
    (void)user_data;
    CHECK(has(notice, "\"action\":\"") && has(notice, "\"call\":{"));
    atomic_fetch_add(&told, 1);
}

static bool sink(void *user_data, const edictum_text *events, size_t count) {
    (void)user_data;
    for (size_t at = 0; at < count; at++) CHECK(has(events[at], "\"tool_name\":\"Bash\""));
    atomic_fetch_add(&logged, (int)count);
    return true;
}

static edictum_setup *answering(const char *near, const char *tier, const char *principal, const char *hook) {
    edictum_setup *setup = edictum_setup_new();
    CHECK(edictum_setup_operator(setup, text("near"), question, strdup(near), release, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_setup_selector(setup, text("user"), question, strdup(tier), release, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_setup_principal_resolver(setup, question, strdup(principal), release, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_setup_success_check(setup, question, strdup("false"), release, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_setup_hook(setup, text("{\"name\":\"h\",\"before\":true}"), question, strdup(hook), release, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_setup_sink(setup, sink, NULL, NULL, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_setup_on_decision(setup, notice, malloc(1), release, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_setup_session_id(setup, text("mine"), NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_setup_agent_id(setup, text("me"), NULL) == EDICTUM_STATUS_OK);
    edictum_setup_event_bytes(setup, 1000);
    /* Refused, and released all the same. */
    CHECK(edictum_setup_hook(setup, text("{}"), question, strdup(""), release, NULL) == EDICTUM_STATUS_BAD_REQUEST);
    CHECK(edictum_setup_sink(setup, NULL, NULL, NULL, NULL) == EDICTUM_STATUS_BAD_REQUEST);
    return setup;
}

static void the_program_is_asked(edictum_host *host) {
    const struct {
        const char *near, *tier, *principal, *hook, *reason;
    } cases[] = {
        {"false", "{\"tier\":\"paid\"}", "{\"role\":\"dev\"}", "\"pass\"", ""},
        {"+true", "{}", "null", "\"pass\"", "near"},
        {"false", "+{\"tier\":\"free\"}", "null", "\"skip\"", "tier"},
        {"false", "{}", "+{\"role\":\"guest\"}", "\"pass\"", "who"},
        {"false", "{}", "null", "+{\"refuse\":\"closed today\"}", "closed today"},
        {"fail", "{}", "null", "\"pass\"", NULL},
        {"\"yes\"", "{}", "null", "\"pass\"", NULL},
        {"false", "{}", "null", "fail", NULL},
    };
    const int count = sizeof cases / sizeof *cases;
    for (int at = 0; at < count; at++) {
        edictum_guard *guard = opened(host, CUSTOM, answering(cases[at].near, cases[at].tier, cases[at].principal, cases[at].hook));
        edictum_answer answer;
        int before = atomic_load(&logged);
        CHECK(begin(guard, "{\"tool\":\"Bash\",\"args\":{\"n\":9}}", "c", &answer) == EDICTUM_STATUS_OK);
        if (cases[at].reason) {
            CHECK(is(answer.reason, cases[at].reason));
            CHECK(!(answer.flags & EDICTUM_FLAG_POLICY_ERROR));
        } else {
            CHECK(answer.action == EDICTUM_ACTION_BLOCK && answer.flags & EDICTUM_FLAG_POLICY_ERROR);
        }
        bool allowed = answer.action == EDICTUM_ACTION_ALLOW;
        CHECK(allowed == (cases[at].reason && !*cases[at].reason));
        edictum_answer_free(&answer);
        if (allowed) {
            CHECK(edictum_guard_finish(guard, text("c"), text("{}"), EDICTUM_TOOL_UNKNOWN, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
            CHECK(!(answer.flags & EDICTUM_FLAG_SUCCESS));
            edictum_answer_free(&answer);
        }
        CHECK(atomic_load(&logged) > before);
        edictum_guard_free(guard);
    }
    edictum_setup_free(answering("", "", "", ""));
    edictum_setup_free(NULL);
    /* Threads of the library may hold a guard a moment longer. */
    for (int turn = 0; turn < 1000 && atomic_load(&released) < (count + 1) * 7; turn++) usleep(10000);
    CHECK(atomic_load(&released) == (count + 1) * 7);
    CHECK(atomic_load(&told) == count && atomic_load(&asked) >= count);
}

static const char *DEPLOY = "{\"tool\":\"Deploy\",\"args\":{\"to\":\"x\"}}";

static void a_person_is_waited_for(edictum_host *host) {
    edictum_guard *guard = opened(host, PLAIN, NULL);
    edictum_answer answer;
    CHECK(begin(guard, DEPLOY, "d1", &answer) == EDICTUM_STATUS_OK);
    CHECK(answer.action == EDICTUM_ACTION_ASK && has(answer.value, "\"message\":\"deploy?\""));
    edictum_answer_free(&answer);

    struct later first, second;
    later_new(&first), later_new(&second);
    edictum_pending *one = NULL, *two = NULL;
    CHECK(edictum_guard_wait(guard, text("d1"), NONE, later_done, &first, &one, &answer) == EDICTUM_STATUS_PENDING && one);
    edictum_answer_free(&answer);
    CHECK(edictum_guard_wait(guard, text("d1"), NONE, later_done, &second, &two, NULL) == EDICTUM_STATUS_PENDING && two);
    CHECK(edictum_pending_cancel(one) && !edictum_pending_cancel(one));
    CHECK(edictum_guard_settle(guard, text("d1"), text("{\"verdict\":\"maybe\"}"), NULL, NULL, NULL, NULL) == EDICTUM_STATUS_BAD_REQUEST);
    CHECK(edictum_guard_settle(guard, text("d1"), text("{\"verdict\":\"approved\",\"approver\":\"ann\"}"), NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
    CHECK(answer.action == EDICTUM_ACTION_ALLOW);
    edictum_answer_free(&answer);
    later_wait(&second);
    CHECK(second.times == 1 && second.status == EDICTUM_STATUS_OK && second.action == EDICTUM_ACTION_ALLOW);
    CHECK(first.times == 0 && !edictum_pending_cancel(two));
    edictum_pending_free(one), edictum_pending_free(two), edictum_pending_free(NULL);
    CHECK(edictum_guard_wait(guard, text("d1"), NONE, NULL, NULL, NULL, NULL) == EDICTUM_STATUS_CONFLICT);

    /* Its guard is closed under somebody who waits. */
    struct later closed;
    later_new(&closed);
    begin(guard, DEPLOY, "d2", NULL);
    CHECK(edictum_guard_wait(guard, text("d2"), NONE, later_done, &closed, NULL, NULL) == EDICTUM_STATUS_PENDING);
    CHECK(edictum_guard_request(guard, text("close"), NONE, NULL, NULL, NULL, NULL) == EDICTUM_STATUS_OK);
    later_wait(&closed);
    CHECK(closed.status == EDICTUM_STATUS_CLOSED);
    edictum_guard_free(guard);

    /* The program's own approver, and its guard is freed while he thinks. */
    edictum_setup *setup = edictum_setup_new();
    CHECK(edictum_setup_approver(setup, question, strdup("+{\"verdict\":\"rejected\",\"reason\":\"no\"}"), release, NULL) == EDICTUM_STATUS_OK);
    guard = opened(host, PLAIN, setup);
    CHECK(begin(guard, DEPLOY, "d3", &answer) == EDICTUM_STATUS_OK);
    struct later rejected;
    later_new(&rejected);
    CHECK(edictum_guard_wait(guard, text("d3"), answer.value, later_done, &rejected, NULL, NULL) == EDICTUM_STATUS_PENDING);
    edictum_answer_free(&answer);
    edictum_guard_free(guard);
    later_wait(&rejected);
    CHECK(rejected.status == EDICTUM_STATUS_OK && rejected.action == EDICTUM_ACTION_BLOCK);
}

static void what_takes_time_is_told_later(edictum_host *host) {
    struct later later;
    later_new(&later);
    /* It may also end at once. */
    edictum_answer answer;
    edictum_status status = edictum_guard_open(host, text("open"), text(PLAIN), NULL, later_done, &later, NULL, &answer);
    if (status == EDICTUM_STATUS_PENDING) {
        later_wait(&later);
        CHECK(later.status == EDICTUM_STATUS_OK && later.guard);
    } else {
        later.guard = answer.guard;
        edictum_answer_free(&answer);
    }
    edictum_guard_free(later.guard);

    /* A call that is given up while its hook thinks; it is finished as failed when the hook lets it through. */
    edictum_setup *setup = edictum_setup_new();
    edictum_setup_hook(setup, text("{\"name\":\"h\",\"before\":true}"), question, strdup("+\"pass\""), release, NULL);
    edictum_guard *guard = opened(host, PLAIN, setup);
    struct later given_up;
    later_new(&given_up);
    edictum_pending *pending = NULL;
    edictum_call call = {text("{\"tool\":\"Bash\",\"args\":{}}"), text("s"), text("g"), NONE};
    CHECK(edictum_guard_begin(guard, &call, later_done, &given_up, &pending, NULL) == EDICTUM_STATUS_PENDING);
    CHECK(edictum_pending_cancel(pending));
    edictum_pending_free(pending);
    bool finished = false;
    for (int turn = 0; turn < 1000 && !finished; turn++) {
        usleep(10000);
        CHECK(edictum_guard_request(guard, text("events"), NONE, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
        finished = has(answer.text, "\"call_failed\"");
        edictum_answer_free(&answer);
    }
    CHECK(finished && given_up.times == 0);
    edictum_guard_free(guard);
}

struct worker {
    edictum_guard *guard;
    int number;
};

static void *work(void *user_data) {
    struct worker *worker = user_data;
    for (int turn = 0; turn < 200; turn++) {
        /* Two threads share a session. */
        char session[32], id[32];
        snprintf(session, sizeof session, "%d", worker->number / 2);
        snprintf(id, sizeof id, "%d-%d", worker->number, turn);
        edictum_answer answer;
        bool bad = turn % 2;
        const char *call = bad ? "{\"tool\":\"Bash\",\"args\":{\"command\":\"rm\"}}" : "{\"tool\":\"Bash\",\"args\":{\"command\":\"ls\"}}";
        CHECK(begin_in(worker->guard, session, call, id, &answer) == EDICTUM_STATUS_OK);
        CHECK(answer.action == (bad ? EDICTUM_ACTION_BLOCK : EDICTUM_ACTION_ALLOW));
        edictum_answer_free(&answer);
        if (!bad) {
            CHECK(edictum_guard_finish(worker->guard, text(id), text("1.0"), EDICTUM_TOOL_SUCCEEDED, NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
            edictum_answer_free(&answer);
        }
        if (turn % 50 == 0) {
            char fields[600];
            snprintf(fields, sizeof fields, "{\"yaml\":\"apiVersion: edictum/v1\\nkind: Ruleset\\nmetadata: {name: c%d}\\ndefaults: {mode: enforce}\\nrules:\\n"
                     "  - {id: no-rm, type: pre, tool: Bash, when: {args.command: {contains: rm}}, then: {action: block, message: never}}\\n\"}", turn);
            CHECK(edictum_guard_request(worker->guard, text("reload"), text(fields), NULL, NULL, NULL, NULL) == EDICTUM_STATUS_OK);
        }
    }
    return NULL;
}

static void threads_share_a_guard(edictum_host *host) {
    edictum_guard *guard = opened(host, PLAIN, NULL);
    pthread_t threads[8];
    struct worker workers[8];
    for (int at = 0; at < 8; at++) {
        workers[at] = (struct worker){guard, at};
        pthread_create(&threads[at], NULL, work, &workers[at]);
    }
    for (int at = 0; at < 8; at++) pthread_join(threads[at], NULL);
    edictum_answer answer;
    CHECK(edictum_guard_request(guard, text("counters"), text("{\"session_id\":\"3\"}"), NULL, NULL, NULL, &answer) == EDICTUM_STATUS_OK);
    CHECK(has(answer.text, "\"attempts\":400") && has(answer.text, "\"execs\":200"));
    edictum_answer_free(&answer);
    edictum_guard_free(guard);
}

static void line(void *user_data, edictum_text line) {
    atomic_int *lines = user_data;
    CHECK(has(line, "\"ok\":") && line.bytes[line.length - 1] == '}');
    atomic_fetch_add(lines, has(line, "\"ok\":true"));
}

static void the_driver_speaks_lines(edictum_host *host) {
    static atomic_int good;
    edictum_driver *driver = NULL;
    CHECK(edictum_driver_new(host, line, &good, NULL, &driver, NULL) == EDICTUM_STATUS_OK && driver);
    char open[2000];
    snprintf(open, sizeof open, "{\"id\":1,\"op\":\"open\",%s", PLAIN + 1);
    CHECK(edictum_driver_request(driver, text(open), NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_driver_request(driver, text("{\"id\":2,\"op\":\"begin\",\"guard\":\"c\",\"session_id\":\"s\",\"call_id\":\"c\",\"call\":{\"tool\":\"Bash\",\"args\":{}}}"), NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_driver_request(driver, text("{\"id\":3,\"op\":\"finish\",\"guard\":\"c\",\"call_id\":\"c\",\"result\":1e400}"), NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_driver_request(driver, text("nonsense"), NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_driver_request(driver, text("{\"id\":4,\"op\":\"hello\",\"parallel\":true}"), NULL) == EDICTUM_STATUS_OK);
    edictum_driver_free(driver);
    CHECK(atomic_load(&good) == 4);
}

static atomic_int log_lines;

static void log_line(void *user_data, edictum_text line) {
    (void)user_data, (void)line;
    atomic_fetch_add(&log_lines, 1);
}

int main(void) {
    CHECK(edictum_abi_version() == EDICTUM_ABI_VERSION);
    CHECK(edictum_version().length >= 5);
    CHECK(edictum_log(text("loud"), log_line, NULL, NULL, NULL) == EDICTUM_STATUS_BAD_REQUEST);
    CHECK(edictum_log(text("warn"), log_line, NULL, NULL, NULL) == EDICTUM_STATUS_OK);
    CHECK(edictum_log(text("warn"), log_line, NULL, NULL, NULL) == EDICTUM_STATUS_CONFLICT);
    edictum_host *host = NULL;
    edictum_answer answer;
    if (edictum_host_new(text("{\"deciders\":2}"), &host, &answer) != EDICTUM_STATUS_OK) {
        fprintf(stderr, "%.*s\n", (int)answer.text.length, answer.text.bytes);
        return 1;
    }
    edictum_answer_free(&answer);
    a_call_from_begin_to_end(host);
    what_is_wrong_is_said(host);
    the_program_is_asked(host);
    a_person_is_waited_for(host);
    what_takes_time_is_told_later(host);
    threads_share_a_guard(host);
    the_driver_speaks_lines(host);

    /* Time: an approval that nobody gives. The guard outlives its host's handle. */
    edictum_guard *guard = opened(host, PLAIN, NULL);
    CHECK(begin(guard, DEPLOY, "late", NULL) == EDICTUM_STATUS_OK);
    struct later late;
    later_new(&late);
    CHECK(edictum_guard_wait(guard, text("late"), NONE, later_done, &late, NULL, NULL) == EDICTUM_STATUS_PENDING);
    CHECK(edictum_host_set_time(host, 4102444800000, NULL) == EDICTUM_STATUS_OK);
    later_wait(&late);
    CHECK(late.action == EDICTUM_ACTION_BLOCK);
    edictum_host_free(host);
    edictum_host_free(NULL);
    CHECK(begin(guard, "{\"tool\":\"Bash\",\"args\":{}}", NULL, NULL) == EDICTUM_STATUS_OK);
    edictum_guard_free(guard);

    printf("%d checks, %d failures\n", atomic_load(&checks), atomic_load(&failures));
    return atomic_load(&failures) ? 1 : 0;
}
