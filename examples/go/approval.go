package edictum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Approver asks a person, in [Guard.Run].
type Approver interface {
	// Approve gives the answer. Its context ends when nobody waits for it any more: the call was settled by somebody else or
	// by its deadline, or whoever runs the tool gave up. After an error nobody could be asked, and the call is blocked.
	Approve(ctx context.Context, request ApprovalRequest) (Approval, error)
}

// ApproverFunc is a function as an [Approver].
type ApproverFunc func(ctx context.Context, request ApprovalRequest) (Approval, error)

// Approve calls it.
func (f ApproverFunc) Approve(ctx context.Context, request ApprovalRequest) (Approval, error) {
	return f(ctx, request)
}

// WithApprover asks this one in [Guard.Run] when rules want a person. Without one, Run waits for somebody who calls
// [Guard.Settle], or for the deadline.
func WithApprover(approver Approver) Option {
	return func(s *settings) error {
		if approver == nil {
			return badRequest("the approver is missing")
		}
		s.approver = approver
		return nil
	}
}

// ApprovalRequest is what a person is asked.
type ApprovalRequest struct {
	// CallID is the call that waits.
	CallID string `json:"-"`
	// Message is the rule's.
	Message string `json:"message"`
	// ToolName is the tool.
	ToolName string `json:"tool_name"`
	// ToolArgs is its arguments, redacted (JSON).
	ToolArgs json.RawMessage `json:"tool_args"`
	// Principal is whose call it is, redacted.
	Principal *Principal `json:"principal"`
	// TimeoutSeconds is how long there is.
	TimeoutSeconds float64 `json:"timeout"`
	// TimeoutAction is what happens then: "block" or "allow".
	TimeoutAction string `json:"timeout_action"`
	// DeadlineMS is when, in milliseconds since 1970.
	DeadlineMS int64 `json:"deadline_ms"`
	// StageID is the stage of the workflow that asks, if one does.
	StageID string `json:"stage_id"`
	// Raw is all of it (JSON).
	Raw json.RawMessage `json:"-"`
}

// ApprovalVerdict is what became of an ask.
type ApprovalVerdict string

const (
	// Approved by a person.
	Approved ApprovalVerdict = "approved"
	// Rejected by a person.
	Rejected ApprovalVerdict = "rejected"
	// TimedOut: nobody answered in time.
	TimedOut ApprovalVerdict = "timed_out"
	// Unreachable: nobody could be asked.
	Unreachable ApprovalVerdict = "unreachable"
)

// Approval is the answer to an ask.
type Approval struct {
	// Verdict is what became of it.
	Verdict ApprovalVerdict `json:"verdict"`
	// Approver is who.
	Approver string `json:"approver,omitempty"`
	// Reason is why.
	Reason string `json:"reason,omitempty"`
	// ApprovalID is a queue's own id.
	ApprovalID string `json:"approval_id,omitempty"`
}

// approval gives the answer of whoever is first: the approver, somebody who settles the call, or its deadline.
func (g *Guard) approval(ctx context.Context, asked *Decision) (*Decision, error) {
	if g.approver == nil {
		return g.Wait(ctx, asked.CallID)
	}
	waiting, err := g.start(g.waiting(asked.CallID))
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	approvals := make(chan Approval, 1)
	go func() { approvals <- g.ask(asking, asked) }()
	if !waiting.ended {
		select {
		case answer := <-waiting.came:
			waiting.forget()
			return decided(answer, answer.err())
		case <-ctx.Done():
			if answer, came := waiting.giveUp(); came {
				return decided(answer, answer.err())
			}
			return nil, context.Cause(ctx)
		case approval := <-approvals:
			decision, err := g.Settle(ctx, asked.CallID, approval)
			if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict) {
				waiting.giveUp()
				return decision, err
			}
		}
	}
	return decided(waiting.wait(ctx))
}

// ask asks the approver; one who fails has not been reached.
func (g *Guard) ask(ctx context.Context, asked *Decision) (approval Approval) {
	defer func() {
		if recover() != nil {
			approval = Approval{Verdict: Unreachable}
		}
	}()
	request := ApprovalRequest{CallID: asked.CallID, Raw: asked.Approval}
	err := json.Unmarshal(asked.Approval, &request)
	if err == nil {
		approval, err = g.approver.Approve(ctx, request)
	}
	switch approval.Verdict {
	case Approved, Rejected, TimedOut, Unreachable:
	default:
		err = errors.Join(err, fmt.Errorf("the approver says nothing that is known"))
	}
	if err != nil {
		return Approval{Verdict: Unreachable}
	}
	return approval
}
