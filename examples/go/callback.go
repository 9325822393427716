package edictum

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/cgo"
	"unsafe"
)

// Operator is a custom operator: it says whether a value stands in a relation to an operand. Both are JSON, as they came.
// It may be asked at the same time by several goroutines, as all callbacks. Its context ends when the guard is closed. An
// error blocks the call; so does one that does not answer in time.
type Operator func(ctx context.Context, value, operand json.RawMessage) (bool, error)

// Selector is a custom selector: what its prefix stands for in a call, as something that becomes a JSON object.
type Selector func(ctx context.Context, call CallView) (any, error)

// Hook is asked before tools run, or told after they ran.
type Hook struct {
	// Name is what [Decision.Name] shows when it refuses.
	Name string
	// Tools is a glob; default "*".
	Tools string
	// Before is asked whether a tool may run.
	Before func(ctx context.Context, call CallView) (Verdict, error)
	// After is told what it returned (JSON).
	After func(ctx context.Context, call CallView, output json.RawMessage) error
}

// Verdict is what a hook says: [Pass], [Skip] or [Refuse].
type Verdict struct {
	document any
}

var (
	// Pass: nothing against it.
	Pass = Verdict{"pass"}
	// Skip: the hook's own condition did not hold; it leaves no record.
	Skip = Verdict{"skip"}
)

// Refuse says that a tool must not run, and why: that is for the agent.
func Refuse(reason string) Verdict {
	return Verdict{map[string]string{"refuse": reason}}
}

// SuccessCheck says whether a tool succeeded, by what it returned (JSON).
type SuccessCheck func(ctx context.Context, call CallView, output json.RawMessage) (bool, error)

// PrincipalResolver says whose call it is; nil is nobody.
type PrincipalResolver func(ctx context.Context, call CallView) (*Principal, error)

// AuditSink takes the decision log.
type AuditSink interface {
	// Emit keeps events (JSON each, in wire form, redacted), in this order. It is called while a call is decided, and should
	// only put them somewhere. With the option decision_log_required an error blocks the call.
	Emit(events []json.RawMessage) error
}

// AuditSinkFunc is a function as an [AuditSink].
type AuditSinkFunc func(events []json.RawMessage) error

// Emit calls it.
func (f AuditSinkFunc) Emit(events []json.RawMessage) error { return f(events) }

// CallView is a call as the engine sees it.
type CallView struct {
	// Tool is its name.
	Tool string `json:"tool"`
	// Args is its arguments (JSON), as they came.
	Args json.RawMessage `json:"args"`
	// CallID and the following are as in [Call].
	CallID      string          `json:"call_id"`
	SessionID   string          `json:"session_id"`
	AgentID     string          `json:"agent_id"`
	Environment string          `json:"environment"`
	Principal   *Principal      `json:"principal"`
	Metadata    json.RawMessage `json:"metadata"`
	// Raw is all of it (JSON).
	Raw json.RawMessage `json:"-"`
}

func viewOf(text json.RawMessage) (CallView, error) {
	view := CallView{Raw: text}
	err := json.Unmarshal(text, &view)
	return view, err
}

// WithOperator adds a custom operator.
func WithOperator(name string, operator Operator) Option {
	return asking(C.EDICTUM_GO_OPERATOR, name, operator == nil, func(ctx context.Context, question []byte) (any, error) {
		var asked struct {
			Value   json.RawMessage `json:"value"`
			Operand json.RawMessage `json:"operand"`
		}
		if err := json.Unmarshal(question, &asked); err != nil {
			return nil, err
		}
		return operator(ctx, asked.Value, asked.Operand)
	})
}

// WithSelector adds a custom selector with this prefix.
func WithSelector(prefix string, selector Selector) Option {
	return asking(C.EDICTUM_GO_SELECTOR, prefix, selector == nil, func(ctx context.Context, question []byte) (any, error) {
		asked, err := askedAbout(question)
		if err != nil {
			return nil, err
		}
		return selector(ctx, asked.view)
	})
}

// WithHook adds a hook, after those before it.
func WithHook(hook Hook) Option {
	tools := hook.Tools
	if tools == "" {
		tools = "*"
	}
	place := map[string]any{"name": hook.Name, "tools": tools, "before": hook.Before != nil, "after": hook.After != nil}
	document, err := encoded(place)
	if err != nil {
		return func(*settings) error { return err }
	}
	none := hook.Before == nil && hook.After == nil
	return asking(C.EDICTUM_GO_HOOK, string(document), none, func(ctx context.Context, question []byte) (any, error) {
		asked, err := askedAbout(question)
		if err != nil {
			return nil, err
		}
		if asked.phase == "before" {
			verdict, err := hook.Before(ctx, asked.view)
			return verdict.document, err
		}
		return "pass", hook.After(ctx, asked.view, asked.output)
	})
}

// WithSuccessCheck says whether tools succeeded, instead of a heuristic.
func WithSuccessCheck(check SuccessCheck) Option {
	return asking(C.EDICTUM_GO_SUCCESS_CHECK, "", check == nil, func(ctx context.Context, question []byte) (any, error) {
		asked, err := askedAbout(question)
		if err != nil {
			return nil, err
		}
		return check(ctx, asked.view, asked.output)
	})
}

// WithPrincipalResolver says whose calls they are, instead of [WithPrincipal]. What a call says itself counts more.
func WithPrincipalResolver(resolver PrincipalResolver) Option {
	return asking(C.EDICTUM_GO_PRINCIPAL_RESOLVER, "", resolver == nil, func(ctx context.Context, question []byte) (any, error) {
		view, err := viewOf(question)
		if err != nil {
			return nil, err
		}
		return resolver(ctx, view)
	})
}

// WithAuditSink is where the decision log goes, instead of the buffer of [Guard.Events].
func WithAuditSink(sink AuditSink) Option {
	return func(s *settings) error {
		if sink == nil {
			return badRequest("the audit sink is missing")
		}
		s.parts = append(s.parts, part{what: C.EDICTUM_GO_SINK, function: sink})
		return nil
	}
}

// WithDecisionListener is told of every decision, also of those that a deadline makes, while the call is decided: it should
// only put them somewhere.
func WithDecisionListener(listener func(call CallView, decision *Decision)) Option {
	return when(listener, func(*Decision) bool { return true })
}

// OnAllow is told of every allowed call; see [WithDecisionListener].
func OnAllow(listener func(call CallView, decision *Decision)) Option {
	return when(listener, func(decision *Decision) bool { return decision.Action == Allow })
}

// OnBlock is told of every blocked call; see [WithDecisionListener].
func OnBlock(listener func(call CallView, decision *Decision)) Option {
	return when(listener, func(decision *Decision) bool { return decision.Action == Block })
}

// OnError is told of every decision that comes from something broken and not from a rule; see [WithDecisionListener].
func OnError(listener func(call CallView, decision *Decision)) Option {
	return when(listener, func(decision *Decision) bool { return decision.PolicyError })
}

func when(listener func(CallView, *Decision), condition func(*Decision) bool) Option {
	return func(s *settings) error {
		if listener == nil {
			return badRequest("the listener is missing")
		}
		s.listeners = append(s.listeners, func(call CallView, decision *Decision) {
			if condition(decision) {
				listener(call, decision)
			}
		})
		return nil
	}
}

// question is answered by something that becomes JSON.
type question struct {
	ctx    context.Context
	answer func(ctx context.Context, question []byte) (any, error)
}

func asking(what C.int, name string, missing bool, answer func(context.Context, []byte) (any, error)) Option {
	return func(s *settings) error {
		if missing {
			return badRequest("a callback is missing")
		}
		s.parts = append(s.parts, part{what: what, name: name, function: &question{answer: answer}})
		return nil
	}
}

type about struct {
	view   CallView
	phase  string
	output json.RawMessage
}

func askedAbout(question []byte) (about, error) {
	var asked struct {
		Phase  string          `json:"phase"`
		Call   json.RawMessage `json:"call"`
		Output json.RawMessage `json:"output"`
	}
	if err := json.Unmarshal(question, &asked); err != nil {
		return about{}, err
	}
	view, err := viewOf(asked.Call)
	return about{view, asked.Phase, asked.Output}, err
}

func copyOf(bytes *C.uint8_t, length C.size_t) []byte {
	return append([]byte{}, unsafe.Slice((*byte)(bytes), int(length))...)
}

//export edictumGoAsked
func edictumGoAsked(handle C.uintptr_t, bytes *C.uint8_t, length C.size_t, reply *C.edictum_reply) {
	asked := cgo.Handle(handle).Value().(*question)
	text := copyOf(bytes, length)
	// The thread is the library's: it gets it back at once.
	go func() {
		answer, err := asked.answered(text)
		if err != nil {
			answerTo(reply, true, []byte(err.Error()))
		} else {
			answerTo(reply, false, answer)
		}
	}()
}

func answerTo(reply *C.edictum_reply, failed bool, answer []byte) {
	if len(answer) == 0 {
		failed, answer = true, []byte("the callback failed")
	}
	bytes, length := raw(answer)
	failure := C.int(0)
	if failed {
		failure = 1
	}
	C.edictum_go_reply(reply, failure, bytes, length)
}

func (q *question) answered(text []byte) (answer json.RawMessage, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the callback panicked")
		}
	}()
	value, err := q.answer(q.ctx, text)
	if err != nil {
		return nil, err
	}
	return encoded(value)
}

//export edictumGoLogged
func edictumGoLogged(handle C.uintptr_t, events *C.edictum_text, count C.size_t) (kept C.bool) {
	sink := cgo.Handle(handle).Value().(AuditSink)
	texts := make([]json.RawMessage, 0, int(count))
	for _, event := range unsafe.Slice(events, int(count)) {
		texts = append(texts, bytesOf(event))
	}
	defer func() {
		if recover() != nil {
			kept = false
		}
	}()
	return sink.Emit(texts) == nil
}

//export edictumGoNoticed
func edictumGoNoticed(handle C.uintptr_t, bytes *C.uint8_t, length C.size_t) {
	listeners, ok := cgo.Handle(handle).Value().([]func(CallView, *Decision))
	if !ok {
		cgo.Handle(handle).Value().(func(string))(string(copyOf(bytes, length)))
		return
	}
	var told struct {
		Call        json.RawMessage `json:"call"`
		CallID      string          `json:"call_id"`
		Action      Action          `json:"action"`
		Observed    bool            `json:"observed"`
		PolicyError bool            `json:"policy_error"`
		Reason      string          `json:"reason"`
		Name        string          `json:"name"`
		Detail      json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(copyOf(bytes, length), &told) != nil {
		return
	}
	view, err := viewOf(told.Call)
	if err != nil {
		return
	}
	decision := &Decision{
		CallID: told.CallID, Action: told.Action, Observed: told.Observed, PolicyError: told.PolicyError,
		Reason: told.Reason, Name: told.Name, Detail: told.Detail,
	}
	for _, listener := range listeners {
		func() {
			// A listener changes nothing about a decision that has been made.
			defer func() { _ = recover() }()
			listener(view, decision)
		}()
	}
}

//export edictumGoReleased
func edictumGoReleased(handle C.uintptr_t) {
	cgo.Handle(handle).Delete()
}
