#include "native.h"
#include "_cgo_export.h"

#define TEXT(name) edictum_go_text(name, name##_length)
#define TELL(id) told, (void *)(id), &outcome->pending, &outcome->answer

static void told(void *user_data, const edictum_answer *answer) {
    edictumGoTold((uintptr_t)user_data, (edictum_answer *)answer);
}

static void asked(void *user_data, edictum_text question, edictum_reply *reply) {
    edictumGoAsked((uintptr_t)user_data, (uint8_t *)question.bytes, question.length, reply);
}

static void noticed(void *user_data, edictum_text notice) {
    edictumGoNoticed((uintptr_t)user_data, (uint8_t *)notice.bytes, notice.length);
}

static bool logged(void *user_data, const edictum_text *events, size_t count) {
    return edictumGoLogged((uintptr_t)user_data, (edictum_text *)events, count);
}

static void released(void *user_data) {
    edictumGoReleased((uintptr_t)user_data);
}

int edictum_go_host_new(const char *options, size_t options_length, edictum_host **host, edictum_go_outcome *outcome) {
    return edictum_host_new(TEXT(options), host, &outcome->answer);
}

int edictum_go_host_request(const edictum_host *host, const char *op, size_t op_length, const char *fields,
                            size_t fields_length, edictum_go_id id, edictum_go_outcome *outcome) {
    return edictum_host_request(host, TEXT(op), TEXT(fields), TELL(id));
}

int edictum_go_verify(const edictum_host *host, const char *text, size_t text_length, const char *signature,
                      size_t signature_length, const char *keys, size_t keys_length, edictum_go_outcome *outcome) {
    return edictum_host_verify(host, TEXT(text), TEXT(signature), TEXT(keys), &outcome->answer);
}

int edictum_go_open(const edictum_host *host, const char *op, size_t op_length, const char *fields, size_t fields_length,
                    edictum_setup *setup, edictum_go_id id, edictum_go_outcome *outcome) {
    return edictum_guard_open(host, TEXT(op), TEXT(fields), setup, TELL(id));
}

int edictum_go_request(const edictum_guard *guard, const char *op, size_t op_length, const char *fields,
                       size_t fields_length, edictum_go_id id, edictum_go_outcome *outcome) {
    return edictum_guard_request(guard, TEXT(op), TEXT(fields), TELL(id));
}

int edictum_go_evaluate(const edictum_guard *guard, const char *call, size_t call_length, const char *output,
                        size_t output_length, edictum_go_id id, edictum_go_outcome *outcome) {
    return edictum_guard_evaluate(guard, TEXT(call), TEXT(output), TELL(id));
}

int edictum_go_begin(const edictum_guard *guard, const char *call, size_t call_length, const char *session,
                     size_t session_length, const char *call_id, size_t call_id_length, const char *parent,
                     size_t parent_length, edictum_go_id id, edictum_go_outcome *outcome) {
    edictum_call request = {TEXT(call), TEXT(session), TEXT(call_id), TEXT(parent)};
    return edictum_guard_begin(guard, &request, TELL(id));
}

int edictum_go_settle(const edictum_guard *guard, const char *call_id, size_t call_id_length, const char *approval,
                      size_t approval_length, edictum_go_id id, edictum_go_outcome *outcome) {
    return edictum_guard_settle(guard, TEXT(call_id), TEXT(approval), TELL(id));
}

int edictum_go_wait(const edictum_guard *guard, const char *call_id, size_t call_id_length, edictum_go_id id,
                    edictum_go_outcome *outcome) {
    edictum_text none = {NULL, 0};
    return edictum_guard_wait(guard, TEXT(call_id), none, TELL(id));
}

int edictum_go_finish(const edictum_guard *guard, const char *call_id, size_t call_id_length, const char *output,
                      size_t output_length, int success, edictum_go_id id, edictum_go_outcome *outcome) {
    return edictum_guard_finish(guard, TEXT(call_id), TEXT(output), success, TELL(id));
}

int edictum_go_set_principal(const edictum_guard *guard, const char *principal, size_t principal_length,
                             edictum_go_outcome *outcome) {
    return edictum_guard_set_principal(guard, TEXT(principal), &outcome->answer);
}

int edictum_go_setup(edictum_setup *setup, int what, const char *name, size_t name_length, edictum_go_id function,
                     edictum_go_outcome *outcome) {
    void *data = (void *)function;
    edictum_answer *answer = &outcome->answer;
    switch (what) {
    case EDICTUM_GO_OPERATOR: return edictum_setup_operator(setup, TEXT(name), asked, data, released, answer);
    case EDICTUM_GO_SELECTOR: return edictum_setup_selector(setup, TEXT(name), asked, data, released, answer);
    case EDICTUM_GO_HOOK: return edictum_setup_hook(setup, TEXT(name), asked, data, released, answer);
    case EDICTUM_GO_SUCCESS_CHECK: return edictum_setup_success_check(setup, asked, data, released, answer);
    case EDICTUM_GO_PRINCIPAL_RESOLVER: return edictum_setup_principal_resolver(setup, asked, data, released, answer);
    case EDICTUM_GO_SINK: return edictum_setup_sink(setup, logged, data, released, answer);
    case EDICTUM_GO_DECISIONS: return edictum_setup_on_decision(setup, noticed, data, released, answer);
    case EDICTUM_GO_AGENT_ID: return edictum_setup_agent_id(setup, TEXT(name), answer);
    default: return edictum_setup_session_id(setup, TEXT(name), answer);
    }
}

int edictum_go_log(const char *level, size_t level_length, edictum_go_id function, edictum_go_outcome *outcome) {
    return edictum_log(TEXT(level), noticed, (void *)function, released, &outcome->answer);
}

void edictum_go_reply(edictum_reply *reply, int failed, const char *answer, size_t answer_length) {
    if (failed) {
        edictum_reply_fail(reply, TEXT(answer));
    } else {
        edictum_reply_answer(reply, TEXT(answer));
    }
}
