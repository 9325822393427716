package edictum

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"runtime/cgo"
	"sync"
)

// Guard judges tool calls. Its methods may be called at the same time.
type Guard struct {
	approver Approver
	handle   *handle
	opened   json.RawMessage
	// Ends callbacks.
	cancel context.CancelFunc
}

// handle is the library's guard. Whoever calls it holds the lock; it is freed once nobody does.
type handle struct {
	lock    sync.RWMutex
	pointer *C.edictum_guard
}

func (h *handle) free() {
	h.lock.Lock()
	defer h.lock.Unlock()
	C.edictum_guard_free(h.pointer)
	h.pointer = nil
}

// Open opens a guard. It is closed by [Guard.Close].
func Open(ctx context.Context, source Source, options ...Option) (*Guard, error) {
	given := &settings{
		fields:     map[string]json.RawMessage{},
		options:    map[string]json.RawMessage{},
		eventBytes: -1,
	}
	for _, option := range options {
		if err := option(given); err != nil {
			return nil, err
		}
	}
	if given.host == nil {
		host, err := DefaultHost()
		if err != nil {
			return nil, err
		}
		given.host = host
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	op, fields, err := source.load(ctx, given.host)
	if err != nil {
		return nil, err
	}
	document, err := given.document(op, fields)
	if err != nil {
		return nil, err
	}
	// Callbacks end with the guard, not with the context that it was opened in.
	living, cancel := context.WithCancel(context.WithoutCancel(ctx))
	setup, err := given.setup(living)
	if err != nil {
		cancel()
		return nil, err
	}
	opening := start(func(id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		op, opLength := text(op)
		document, documentLength := raw(document)
		C.edictum_go_open(given.host.pointer, op, opLength, document, documentLength, setup, id, outcome)
	})
	answer, err := opening.wait(ctx)
	runtime.KeepAlive(given.host)
	if err != nil {
		cancel()
		return nil, err
	}
	guard := &Guard{approver: given.approver, handle: &handle{pointer: answer.guard}, opened: answer.text, cancel: cancel}
	runtime.AddCleanup(guard, func(handle *handle) {
		handle.free()
		cancel()
	}, guard.handle)
	if given.principal != nil {
		if err := guard.SetPrincipal(given.principal); err != nil {
			return nil, errors.Join(err, guard.Close())
		}
	}
	return guard, nil
}

// setup hands our functions to the library, which says when they are not needed any more.
func (s *settings) setup(living context.Context) (*C.edictum_setup, error) {
	setup := C.edictum_setup_new()
	parts := s.parts
	if len(s.listeners) > 0 {
		parts = append(parts, part{what: C.EDICTUM_GO_DECISIONS, function: s.listeners})
	}
	for _, part := range parts {
		if asked, ok := part.function.(*question); ok {
			part.function = &question{living, asked.answer}
		}
		answer := atOnce(func(outcome *C.edictum_go_outcome) {
			name, length := text(part.name)
			function := C.edictum_go_id(0)
			if part.function != nil {
				function = C.edictum_go_id(cgo.NewHandle(part.function))
			}
			C.edictum_go_setup(setup, part.what, name, length, function, outcome)
		})
		if err := answer.err(); err != nil {
			C.edictum_setup_free(setup)
			return nil, err
		}
	}
	if s.eventBytes >= 0 {
		C.edictum_setup_event_bytes(setup, C.size_t(s.eventBytes))
	}
	return setup, nil
}

// start starts something with the guard's handle.
func (g *Guard) start(call func(guard *C.edictum_guard, id C.edictum_go_id, outcome *C.edictum_go_outcome)) (operation, error) {
	defer runtime.KeepAlive(g)
	g.handle.lock.RLock()
	defer g.handle.lock.RUnlock()
	if g.handle.pointer == nil {
		return operation{}, ErrClosed
	}
	return start(func(id C.edictum_go_id, outcome *C.edictum_go_outcome) { call(g.handle.pointer, id, outcome) }), nil
}

func (g *Guard) perform(ctx context.Context, call func(*C.edictum_guard, C.edictum_go_id, *C.edictum_go_outcome)) (answer, error) {
	if ctx.Err() != nil {
		return answer{}, context.Cause(ctx)
	}
	operation, err := g.start(call)
	if err != nil {
		return answer{}, err
	}
	return operation.wait(ctx)
}

// Close ends the guard: later calls are refused, and who waits is told [ErrClosed]. Open calls stay in its store. A second
// time does nothing.
func (g *Guard) Close() error {
	operation, err := g.start(func(guard *C.edictum_guard, id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		op, length := text("close")
		C.edictum_go_request(guard, op, length, nil, 0, id, outcome)
	})
	if err != nil {
		return nil
	}
	_, err = operation.wait(context.Background())
	g.handle.free()
	g.cancel()
	if errors.Is(err, ErrNotFound) {
		// Closed by its name.
		return nil
	}
	return err
}

// Request carries out an operation of the driver protocol about this guard (counters, workflow, reload, …) with these
// fields, a JSON object without `guard`, and gives its result.
func (g *Guard) Request(ctx context.Context, op string, fields json.RawMessage) (json.RawMessage, error) {
	answer, err := g.perform(ctx, func(guard *C.edictum_guard, id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		op, opLength := text(op)
		fields, fieldsLength := raw(fields)
		C.edictum_go_request(guard, op, opLength, fields, fieldsLength, id, outcome)
	})
	return answer.text, err
}

// Evaluate says what would happen to a call, without counting it.
func (g *Guard) Evaluate(ctx context.Context, call Call) (*Evaluation, error) {
	return evaluation(g.EvaluateJSON(ctx, call, nil))
}

// EvaluateOutput says what would happen to a call and to what its tool returns.
func (g *Guard) EvaluateOutput(ctx context.Context, call Call, output any) (*Evaluation, error) {
	document, err := encoded(output)
	if err != nil {
		return nil, badRequest("the output: %v", err)
	}
	return evaluation(g.EvaluateJSON(ctx, call, document))
}

func evaluation(result json.RawMessage, err error) (*Evaluation, error) {
	if err != nil {
		return nil, err
	}
	evaluation := &Evaluation{}
	return evaluation, json.Unmarshal(result, evaluation)
}

// EvaluateJSON is the same as JSON (wit/schemas/evaluation.schema.json). output may be nil.
func (g *Guard) EvaluateJSON(ctx context.Context, call Call, output json.RawMessage) (json.RawMessage, error) {
	document, err := call.document()
	if err != nil {
		return nil, err
	}
	answer, err := g.perform(ctx, func(guard *C.edictum_guard, id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		call, callLength := raw(document)
		output, outputLength := raw(output)
		C.edictum_go_evaluate(guard, call, callLength, output, outputLength, id, outcome)
	})
	return answer.text, err
}

// Begin counts the attempt and decides. An allowed call stays open until [Guard.Finish], one that is asked about until
// [Guard.Settle] or its deadline. Whatever goes wrong is a block; after an error nothing has been decided, and the tool must
// not run.
func (g *Guard) Begin(ctx context.Context, call Call) (*Decision, error) {
	document, err := call.document()
	if err != nil {
		return nil, err
	}
	return decided(g.perform(ctx, func(guard *C.edictum_guard, id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		text, length := raw(document)
		session, sessionLength := optional(call.SessionID)
		callID, callIDLength := optional(call.CallID)
		parent, parentLength := optional(call.ParentSessionID)
		C.edictum_go_begin(guard, text, length, session, sessionLength, callID, callIDLength, parent, parentLength, id, outcome)
	}))
}

func decided(answer answer, err error) (*Decision, error) {
	if err != nil {
		return nil, err
	}
	return answer.decision(), nil
}

// Settle goes on with a call that was asked about: it is judged again under the rules in force now. A workflow may ask again.
func (g *Guard) Settle(ctx context.Context, callID string, approval Approval) (*Decision, error) {
	document, err := encoded(approval)
	if err != nil {
		return nil, err
	}
	return decided(g.perform(ctx, func(guard *C.edictum_guard, id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		callID, callIDLength := text(callID)
		approval, approvalLength := raw(document)
		C.edictum_go_settle(guard, callID, callIDLength, approval, approvalLength, id, outcome)
	}))
}

// Wait waits until a call that was asked about is settled by somebody else, or by its deadline. Who cancels stops to wait;
// the call goes on waiting.
func (g *Guard) Wait(ctx context.Context, callID string) (*Decision, error) {
	return decided(g.perform(ctx, g.waiting(callID)))
}

// StartWait is [Guard.Wait] in two parts: the call is listened for from now on, and the function waits. It must be called,
// once.
func (g *Guard) StartWait(callID string) func(ctx context.Context) (*Decision, error) {
	waiting, err := g.start(g.waiting(callID))
	return func(ctx context.Context) (*Decision, error) {
		if err != nil {
			return nil, err
		}
		return decided(waiting.wait(ctx))
	}
}

func (g *Guard) waiting(callID string) func(*C.edictum_guard, C.edictum_go_id, *C.edictum_go_outcome) {
	return func(guard *C.edictum_guard, id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		callID, length := text(callID)
		C.edictum_go_wait(guard, callID, length, id, outcome)
	}
}

// Finish judges what a tool returned, by the rules in force now, and ends the call. After an error the output must not be
// used.
func (g *Guard) Finish(ctx context.Context, callID string, returned Outcome) (*Conclusion, error) {
	output, err := encoded(returned.Output)
	if err != nil {
		return nil, badRequest("the output: %v", err)
	}
	success := C.int(C.EDICTUM_TOOL_UNKNOWN)
	if returned.Success != nil {
		success = C.EDICTUM_TOOL_FAILED
		if *returned.Success {
			success = C.EDICTUM_TOOL_SUCCEEDED
		}
	}
	answer, err := g.perform(ctx, func(guard *C.edictum_guard, id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		callID, callIDLength := text(callID)
		output, outputLength := raw(output)
		C.edictum_go_finish(guard, callID, callIDLength, output, outputLength, success, id, outcome)
	})
	if err != nil {
		return nil, err
	}
	return answer.conclusion(output)
}

// SetPrincipal says whose calls they are from now on when nothing else says so; nil: nobody's.
func (g *Guard) SetPrincipal(principal *Principal) error {
	var document json.RawMessage
	if principal != nil {
		var err error
		if document, err = encoded(principal); err != nil {
			return badRequest("the principal: %v", err)
		}
	}
	defer runtime.KeepAlive(g)
	g.handle.lock.RLock()
	defer g.handle.lock.RUnlock()
	if g.handle.pointer == nil {
		return ErrClosed
	}
	answer := atOnce(func(outcome *C.edictum_go_outcome) {
		principal, length := raw(document)
		C.edictum_go_set_principal(g.handle.pointer, principal, length, outcome)
	})
	return answer.err()
}

// Reload exchanges the ruleset; options, workflow and callbacks stay. When the new one does not load, the old ones stay.
// signature is needed with [WithSigningKeys]. It gives the new revision.
func (g *Guard) Reload(ctx context.Context, yaml string, signature ...string) (string, error) {
	fields := map[string]string{"yaml": yaml}
	if len(signature) > 0 {
		fields["signature"] = signature[0]
	}
	document, err := encoded(fields)
	if err != nil {
		return "", err
	}
	result, err := g.Request(ctx, "reload", document)
	if err != nil {
		return "", err
	}
	var reloaded struct {
		PolicyVersion string `json:"policy_version"`
	}
	err = unmarshal(result, &reloaded)
	return reloaded.PolicyVersion, err
}

// Opened is what the library said when the guard was opened (JSON): policy_version, rules, report.
func (g *Guard) Opened() json.RawMessage { return g.opened }

// PolicyVersion is the revision of the rules in force: SHA-256, hex, as in the decision log. Empty after Close.
func (g *Guard) PolicyVersion() string {
	answer := g.summary()
	return answer.name
}

// Summary is what the rules in force say of themselves (JSON): name, mode, rules, report, options. nil after Close.
func (g *Guard) Summary() json.RawMessage {
	answer := g.summary()
	return answer.text
}

func (g *Guard) summary() answer {
	defer runtime.KeepAlive(g)
	g.handle.lock.RLock()
	defer g.handle.lock.RUnlock()
	if g.handle.pointer == nil {
		return answer{}
	}
	return atOnce(func(outcome *C.edictum_go_outcome) {
		C.edictum_guard_summary(g.handle.pointer, &outcome.answer)
	})
}

// Events takes the decision log since the last time, oldest first, in wire form (JSON each). With [WithAuditSink] there is
// nothing in it.
func (g *Guard) Events(ctx context.Context) ([]json.RawMessage, error) {
	result, err := g.Request(ctx, "events", nil)
	if err != nil {
		return nil, err
	}
	var taken struct {
		Events []json.RawMessage `json:"events"`
	}
	err = unmarshal(result, &taken)
	return taken.Events, err
}

// Health says how a guard with a server is (JSON: stream, log, last_error, unsent_events, rules_age_s).
func (g *Guard) Health(ctx context.Context) (json.RawMessage, error) {
	return g.Request(ctx, "health", nil)
}

// Flush sends what waits to be sent to the server, and says how many events are left.
func (g *Guard) Flush(ctx context.Context) (int, error) {
	result, err := g.Request(ctx, "flush", nil)
	if err != nil {
		return 0, err
	}
	var flushed struct {
		UnsentEvents int `json:"unsent_events"`
	}
	err = unmarshal(result, &flushed)
	return flushed.UnsentEvents, err
}

func unmarshal(result json.RawMessage, into any) error {
	if err := json.Unmarshal(result, into); err != nil {
		return &Error{Code: "internal", Message: "libedictum gives a result that cannot be read"}
	}
	return nil
}
