package edictum

// #include "native.h"
import "C"

import (
	"encoding/json"
)

// Action is what happens to a call. The zero value lets nothing run.
type Action string

const (
	// Block: it must not run.
	Block Action = "block"
	// Allow: it may run.
	Allow Action = "allow"
	// Ask: a person has to say so first.
	Ask Action = "ask"
)

// Decision is what happens to a call, and why.
type Decision struct {
	// CallID is the call.
	CallID string
	// Action is what happens. Only [Allow] lets it run.
	Action Action
	// Observed: allowed only because rules, or the guard, merely observe.
	Observed bool
	// PolicyError: it comes from something broken, not from a rule.
	PolicyError bool
	// Reason is what to tell the agent. Empty on a plain allow.
	Reason string
	// Name is a rule id, a limit, a hook or a stage. Empty on a plain allow.
	Name string
	// Detail is JSON: decision_source, decision_name, rules_evaluated, workflow, … (wit/schemas/decision.schema.json).
	Detail json.RawMessage
	// Approval is, with [Ask], what to ask a person, redacted (JSON: message, timeout, timeout_action, deadline_ms,
	// tool_name, tool_args, …).
	Approval json.RawMessage
}

// Allowed says whether the call may run now.
func (d *Decision) Allowed() bool { return d.Action == Allow }

func (a *answer) decision() *Decision {
	action := Block
	switch a.action {
	case C.EDICTUM_ACTION_ALLOW:
		action = Allow
	case C.EDICTUM_ACTION_ASK:
		action = Ask
	}
	return &Decision{
		CallID:      a.callID,
		Action:      action,
		Observed:    a.flags&C.EDICTUM_FLAG_OBSERVED != 0,
		PolicyError: a.flags&C.EDICTUM_FLAG_POLICY_ERROR != 0,
		Reason:      a.reason,
		Name:        a.name,
		Detail:      a.text,
		Approval:    a.value,
	}
}

// Outcome is what a tool returned.
type Outcome struct {
	// Output is what it returned: something that becomes JSON. A [json.RawMessage] stays as it is.
	Output any
	// Success is whether it succeeded; nil: the success check, or a heuristic, decides.
	Success *bool
}

// Failed is the outcome of a tool that failed.
func Failed(err error) Outcome {
	failed := false
	return Outcome{Output: err.Error(), Success: &failed}
}

// Conclusion is how a call ended.
type Conclusion struct {
	// Success is whether the tool succeeded.
	Success bool
	// Passed is whether every enforced postcondition held.
	Passed bool
	// Output is what the agent may see (JSON).
	Output json.RawMessage
	// Replaced: it is not what the tool returned.
	Replaced bool
	// Warnings are for the agent.
	Warnings []string
	// Detail is JSON: redacted, suppressed, policy_error, rules_evaluated, findings
	// (wit/schemas/conclusion.schema.json).
	Detail json.RawMessage
}

func (a *answer) conclusion(output json.RawMessage) (*Conclusion, error) {
	conclusion := &Conclusion{
		Success: a.flags&C.EDICTUM_FLAG_SUCCESS != 0,
		Passed:  a.flags&C.EDICTUM_FLAG_PASSED != 0,
		Output:  output,
		Detail:  a.text,
	}
	if a.value != nil {
		conclusion.Output, conclusion.Replaced = a.value, true
	}
	if len(a.warnings) > len("[]") {
		if err := json.Unmarshal(a.warnings, &conclusion.Warnings); err != nil {
			return nil, err
		}
	}
	return conclusion, nil
}

// Evaluation is what would happen to a call.
type Evaluation struct {
	// Decision is "allow", "warn" (only postconditions failed) or "block".
	Decision string `json:"decision"`
	// Rules is every rule that was looked at, in order.
	Rules []RuleResult `json:"rules"`
	// BlockReasons is the messages of rules that block or ask.
	BlockReasons []string `json:"block_reasons"`
	// WarnReasons is the messages of postconditions that failed.
	WarnReasons []string `json:"warn_reasons"`
	// RulesEvaluated is how many.
	RulesEvaluated int `json:"rules_evaluated"`
	// PolicyError: any of them could not be evaluated.
	PolicyError bool `json:"policy_error"`
}

// RuleResult is what came of one rule.
type RuleResult struct {
	ID          string   `json:"id"`
	Type        string   `json:"type"`
	Passed      bool     `json:"passed"`
	Message     string   `json:"message"`
	Tags        []string `json:"tags"`
	Observed    bool     `json:"observed"`
	Action      string   `json:"action"`
	PolicyError bool     `json:"policy_error"`
}
