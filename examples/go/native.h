/* What Go calls and what calls Go: flat arguments, handles as numbers. */

#ifndef EDICTUM_GO_H
#define EDICTUM_GO_H

#include "edictum.h"

typedef struct {
    edictum_answer answer;
    edictum_pending *pending;
} edictum_go_outcome;

/* Where an operation is told about: a number of Go's. */
typedef uintptr_t edictum_go_id;

static inline edictum_text edictum_go_text(const char *bytes, size_t length) {
    edictum_text text = {(const uint8_t *)bytes, length};
    return text;
}

int edictum_go_host_new(const char *options, size_t options_length, edictum_host **host, edictum_go_outcome *outcome);
int edictum_go_host_request(const edictum_host *host, const char *op, size_t op_length, const char *fields,
                            size_t fields_length, edictum_go_id id, edictum_go_outcome *outcome);
int edictum_go_verify(const edictum_host *host, const char *text, size_t text_length, const char *signature,
                      size_t signature_length, const char *keys, size_t keys_length, edictum_go_outcome *outcome);
int edictum_go_open(const edictum_host *host, const char *op, size_t op_length, const char *fields, size_t fields_length,
                    edictum_setup *setup, edictum_go_id id, edictum_go_outcome *outcome);
int edictum_go_request(const edictum_guard *guard, const char *op, size_t op_length, const char *fields,
                       size_t fields_length, edictum_go_id id, edictum_go_outcome *outcome);
int edictum_go_evaluate(const edictum_guard *guard, const char *call, size_t call_length, const char *output,
                        size_t output_length, edictum_go_id id, edictum_go_outcome *outcome);
int edictum_go_begin(const edictum_guard *guard, const char *call, size_t call_length, const char *session,
                     size_t session_length, const char *call_id, size_t call_id_length, const char *parent,
                     size_t parent_length, edictum_go_id id, edictum_go_outcome *outcome);
int edictum_go_settle(const edictum_guard *guard, const char *call_id, size_t call_id_length, const char *approval,
                      size_t approval_length, edictum_go_id id, edictum_go_outcome *outcome);
int edictum_go_wait(const edictum_guard *guard, const char *call_id, size_t call_id_length, edictum_go_id id,
                    edictum_go_outcome *outcome);
int edictum_go_finish(const edictum_guard *guard, const char *call_id, size_t call_id_length, const char *output,
                      size_t output_length, int success, edictum_go_id id, edictum_go_outcome *outcome);
int edictum_go_set_principal(const edictum_guard *guard, const char *principal, size_t length,
                             edictum_go_outcome *outcome);

/* What a function of Go's is for. */
enum {
    EDICTUM_GO_OPERATOR,
    EDICTUM_GO_SELECTOR,
    EDICTUM_GO_HOOK,
    EDICTUM_GO_SUCCESS_CHECK,
    EDICTUM_GO_PRINCIPAL_RESOLVER,
    EDICTUM_GO_SINK,
    EDICTUM_GO_DECISIONS,
    EDICTUM_GO_AGENT_ID,
    EDICTUM_GO_SESSION_ID,
};

int edictum_go_setup(edictum_setup *setup, int what, const char *name, size_t length, edictum_go_id function,
                     edictum_go_outcome *outcome);
int edictum_go_log(const char *level, size_t length, edictum_go_id function, edictum_go_outcome *outcome);
void edictum_go_reply(edictum_reply *reply, int failed, const char *answer, size_t length);

#endif
