package edictum

import (
	"context"
	"encoding/json"
	"fmt"
)

// ToolFunc is a tool. It is given the arguments that were judged (JSON), and gives something that becomes JSON.
type ToolFunc func(ctx context.Context, args json.RawMessage) (any, error)

// Run runs a tool, if it may, and gives what the agent may see: what the tool returned, or what postconditions made of it. A
// [BlockedError] says that it did not run, a [ToolError] that it failed; any other error that it did not run, or that its
// result must not be used.
//
// Where rules want a person, [WithApprover] is asked; without one it waits for [Guard.Settle], or for the deadline.
func (g *Guard) Run(ctx context.Context, tool string, args any, run ToolFunc) (any, error) {
	return g.RunCall(ctx, Call{Tool: tool, Args: args}, run)
}

// RunCall is [Guard.Run] with all that can be said about a call.
func (g *Guard) RunCall(ctx context.Context, call Call, run ToolFunc) (any, error) {
	result, conclusion, err := g.run(ctx, call, run)
	if err != nil || !conclusion.Replaced {
		return result, err
	}
	if _, ok := result.(json.RawMessage); ok {
		return conclusion.Output, nil
	}
	return decoded(conclusion.Output)
}

// RunTool is [Guard.RunCall] for a tool with types: its arguments are read from the JSON that was judged, and its result is
// read back where postconditions changed it.
func RunTool[A, R any](ctx context.Context, guard *Guard, call Call, run func(ctx context.Context, args A) (R, error)) (R, error) {
	var none R
	result, conclusion, err := guard.run(ctx, call, func(ctx context.Context, text json.RawMessage) (any, error) {
		var args A
		if err := json.Unmarshal(text, &args); err != nil {
			return nil, fmt.Errorf("the arguments do not fit the tool: %w", err)
		}
		return run(ctx, args)
	})
	if err != nil {
		return none, err
	}
	if !conclusion.Replaced {
		typed, _ := result.(R)
		return typed, nil
	}
	var replaced R
	if err := json.Unmarshal(conclusion.Output, &replaced); err != nil {
		return none, fmt.Errorf("edictum: what is left of the output is not what the tool returns: %w", err)
	}
	return replaced, nil
}

func (g *Guard) run(ctx context.Context, call Call, run ToolFunc) (any, *Conclusion, error) {
	document, err := call.document()
	if err != nil {
		return nil, nil, err
	}
	call.Raw = document
	arguments, err := call.arguments()
	if err != nil {
		return nil, nil, err
	}
	decision, err := g.Begin(ctx, call)
	for err == nil && decision.Action == Ask {
		decision, err = g.approval(ctx, decision)
	}
	if err != nil {
		return nil, nil, err
	}
	if !decision.Allowed() {
		return nil, nil, &BlockedError{decision}
	}
	return g.ran(ctx, decision, arguments, run)
}

// ran runs a tool that may run. However it ends, its call is finished: also when nobody waits for it any more.
func (g *Guard) ran(ctx context.Context, decision *Decision, arguments json.RawMessage, run ToolFunc) (any, *Conclusion, error) {
	finishing := context.WithoutCancel(ctx)
	returned := false
	defer func() {
		if !returned {
			// It panics, or ends its goroutine.
			_, _ = g.Finish(finishing, decision.CallID, Failed(fmt.Errorf("the tool panicked")))
		}
	}()
	result, failure := run(ctx, arguments)
	returned = true
	outcome := Outcome{Output: result}
	if failure != nil {
		outcome = Failed(failure)
	} else if _, err := encoded(result); err != nil {
		failure = fmt.Errorf("the tool returns something that is not JSON: %w", err)
		outcome = Failed(failure)
	}
	conclusion, err := g.Finish(finishing, decision.CallID, outcome)
	if err != nil {
		return nil, nil, err
	}
	if failure != nil {
		return nil, nil, &ToolError{conclusion, failure}
	}
	return result, conclusion, nil
}
