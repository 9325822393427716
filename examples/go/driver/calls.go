package main

import (
	"context"
	"encoding/json"
	"errors"

	edictum "github.com/edictum/edictum-guard-go"
	"github.com/edictum/edictum-guard-go/internal/rawjson"
)

func (s *server) evaluate(ctx context.Context, request *request) (json.RawMessage, error) {
	open, err := s.guard(request)
	if err != nil {
		return nil, err
	}
	call, err := request.raw("call")
	if err != nil {
		return nil, err
	}
	return open.guard.EvaluateJSON(ctx, edictum.Call{Raw: call}, request.fields["output"])
}

func (s *server) begin(ctx context.Context, request *request) (reply, error) {
	open, err := s.guard(request)
	if err != nil {
		return reply{}, err
	}
	call, callErr := request.raw("call")
	session, sessionErr := needed[string](request, "session_id")
	callID, callIDErr := optional[string](request, "call_id")
	parent, parentErr := optional[string](request, "parent_session_id")
	hold, holdErr := optional[bool](request, "hold")
	if err := errors.Join(callErr, sessionErr, callIDErr, parentErr, holdErr); err != nil {
		return reply{}, err
	}
	if session == "" || callID != nil && *callID == "" || parent != nil && *parent == "" {
		// The typed interface takes an empty name for none.
		result, err := open.guard.Request(ctx, "begin", request.document())
		return reply{result: result}, err
	}
	given := edictum.Call{Raw: call, SessionID: session}
	if callID != nil {
		given.CallID = *callID
	}
	if parent != nil {
		given.ParentSessionID = *parent
	}
	decision, err := open.guard.Begin(ctx, given)
	if err != nil {
		return reply{}, err
	}
	if decision.Action == edictum.Block {
		open.ends(decision.CallID)
	} else {
		open.begins(decision.CallID, session)
	}
	if decision.Action == edictum.Ask && hold != nil && *hold {
		return open.wait(ctx, decision.CallID), nil
	}
	return now(decided(decision))
}

func (s *server) approve(ctx context.Context, request *request) (reply, error) {
	open, err := s.guard(request)
	if err != nil {
		return reply{}, err
	}
	callID, callIDErr := needed[string](request, "call_id")
	outcome, outcomeErr := optional[string](request, "outcome")
	approver, approverErr := optional[string](request, "approver")
	reason, reasonErr := optional[string](request, "reason")
	if err := errors.Join(callIDErr, outcomeErr, approverErr, reasonErr); err != nil {
		return reply{}, err
	}
	if outcome == nil {
		return open.wait(ctx, callID), nil
	}
	approval := edictum.Approval{Verdict: edictum.ApprovalVerdict(*outcome)}
	switch approval.Verdict {
	case edictum.Approved, edictum.Rejected, edictum.TimedOut:
	default:
		return reply{}, badRequest("unknown outcome, expected one of `approved`, `rejected`, `timed_out`")
	}
	if approver != nil {
		approval.Approver = *approver
	}
	if reason != nil {
		approval.Reason = *reason
	}
	decision, err := open.guard.Settle(ctx, callID, approval)
	if err != nil {
		return reply{}, err
	}
	if decision.Action == edictum.Block {
		open.ends(callID)
	}
	return now(decided(decision))
}

// wait answers when the call is settled, by another request or by its deadline.
func (o *open) wait(ctx context.Context, callID string) reply {
	waiting := o.guard.StartWait(callID)
	return reply{later: func() (json.RawMessage, error) {
		decision, err := waiting(ctx)
		if err != nil {
			return nil, err
		}
		if decision.Action == edictum.Block {
			o.ends(callID)
		}
		return decided(decision)
	}}
}

// decided is what is shown of a decision.
func decided(decision *edictum.Decision) (json.RawMessage, error) {
	detail, err := membersOf(decision.Detail)
	if err != nil {
		return nil, err
	}
	var fields object
	fields.add("call_id", quoted(decision.CallID))
	fields.add("action", quoted(decision.Action))
	fields.add("reason", quoted(decision.Reason))
	fields.add("decision_source", detail.or("decision_source", "null"))
	fields.add("decision_name", detail.or("decision_name", "null"))
	fields.add("observed", quoted(decision.Observed))
	fields.add("policy_error", quoted(decision.PolicyError))
	fields.add("rules_evaluated", detail.or("rules_evaluated", "[]"))
	if decision.Approval != nil {
		asked, err := membersOf(decision.Approval)
		if err != nil {
			return nil, err
		}
		var approval object
		for _, name := range []string{"message", "timeout", "timeout_action"} {
			approval.add(name, asked.or(name, "null"))
		}
		if stage, ok := asked["stage_id"]; ok && string(stage) != "null" {
			approval.add("stage_id", stage)
		}
		fields.add("approval", approval.text())
	}
	if workflow, ok := detail["workflow"]; ok && string(workflow) != "null" {
		fields.add("workflow", workflow)
	}
	return fields.text(), nil
}

func (s *server) finish(ctx context.Context, request *request) (json.RawMessage, error) {
	open, err := s.guard(request)
	if err != nil {
		return nil, err
	}
	callID, callIDErr := needed[string](request, "call_id")
	success, successErr := optional[bool](request, "success")
	if err := errors.Join(callIDErr, successErr); err != nil {
		return nil, err
	}
	result, ok := request.fields["result"]
	if !ok {
		result = json.RawMessage("null")
	}
	conclusion, err := open.guard.Finish(ctx, callID, edictum.Outcome{Output: result, Success: success})
	if err != nil {
		return nil, err
	}
	open.ends(callID)
	detail, err := membersOf(conclusion.Detail)
	if err != nil {
		return nil, err
	}
	var fields object
	fields.add("success", quoted(conclusion.Success))
	fields.add("postconditions_passed", quoted(conclusion.Passed))
	fields.add("warnings", quoted(append([]string{}, conclusion.Warnings...)))
	fields.add("result", conclusion.Output)
	fields.add("redacted", detail.or("redacted", "false"))
	fields.add("suppressed", detail.or("suppressed", "false"))
	fields.add("rules_evaluated", detail.or("rules_evaluated", "[]"))
	fields.add("findings", detail.or("findings", "[]"))
	return fields.text(), nil
}

// members is an object by its names.
type members map[string]json.RawMessage

func membersOf(text json.RawMessage) (members, error) {
	list, err := rawjson.Members(text)
	if err != nil {
		return nil, err
	}
	found := make(members, len(list))
	for _, member := range list {
		found[member.Key] = member.Value
	}
	return found, nil
}

func (m members) or(name, otherwise string) json.RawMessage {
	if value, ok := m[name]; ok {
		return value
	}
	return json.RawMessage(otherwise)
}
