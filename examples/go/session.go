package edictum

import (
	"context"
	"encoding/json"
)

// Session is one session of a guard: its counters, and where it stands in a workflow. Sessions live in the store; this is
// only their name.
type Session struct {
	guard *Guard
	id    string
}

// Session is the session of this name.
func (g *Guard) Session(id string) *Session {
	return &Session{g, id}
}

// ID is its name.
func (s *Session) ID() string { return s.id }

// Run is [Guard.Run] in this session.
func (s *Session) Run(ctx context.Context, tool string, args any, run ToolFunc) (any, error) {
	return s.guard.RunCall(ctx, Call{Tool: tool, Args: args, SessionID: s.id}, run)
}

// Begin is [Guard.Begin] in this session.
func (s *Session) Begin(ctx context.Context, call Call) (*Decision, error) {
	call.SessionID = s.id
	return s.guard.Begin(ctx, call)
}

// Counters is what a session has counted.
type Counters struct {
	// Attempts is calls, blocked ones included.
	Attempts int `json:"attempts"`
	// Execs is tools that ran.
	Execs int `json:"execs"`
	// ConsecFail is how many of the last ones failed.
	ConsecFail int `json:"consec_fail"`
	// Tools is tools that ran, by name.
	Tools map[string]int `json:"tools"`
}

// Counters reads them.
func (s *Session) Counters(ctx context.Context) (Counters, error) {
	return s.counters(ctx, nil)
}

// SetCounters changes some of them: attempts, execs, consec_fail, tool:NAME.
func (s *Session) SetCounters(ctx context.Context, set map[string]int) (Counters, error) {
	return s.counters(ctx, set)
}

func (s *Session) counters(ctx context.Context, set map[string]int) (Counters, error) {
	var counters Counters
	fields := map[string]any{"session_id": s.id}
	if set != nil {
		fields["set"] = set
	}
	document, err := encoded(fields)
	if err != nil {
		return counters, err
	}
	result, err := s.guard.Request(ctx, "counters", document)
	if err != nil {
		return counters, err
	}
	err = unmarshal(result, &counters)
	return counters, err
}

// Workflow is where a session stands in the workflow of its guard. Its methods give the state after them, as it is stored
// (JSON).
type Workflow struct {
	session *Session
}

// Workflow is where this session stands.
func (s *Session) Workflow() *Workflow {
	return &Workflow{s}
}

// State reads it.
func (w *Workflow) State(ctx context.Context) (json.RawMessage, error) {
	return w.perform(ctx, map[string]any{"do": "state"})
}

// Reset goes back to a stage; "" is the first.
func (w *Workflow) Reset(ctx context.Context, stage string) (json.RawMessage, error) {
	return w.perform(ctx, at("reset", stage))
}

// SetStage moves to a stage.
func (w *Workflow) SetStage(ctx context.Context, stage string) (json.RawMessage, error) {
	return w.perform(ctx, at("set_stage", stage))
}

// Approve approves a stage; "" is the active one.
func (w *Workflow) Approve(ctx context.Context, stage string) (json.RawMessage, error) {
	return w.perform(ctx, at("approve", stage))
}

// Load puts a state in its place, as it was read.
func (w *Workflow) Load(ctx context.Context, state json.RawMessage) (json.RawMessage, error) {
	return w.perform(ctx, map[string]any{"do": "load", "state": state})
}

func at(operation, stage string) map[string]any {
	command := map[string]any{"do": operation}
	if stage != "" {
		command["stage_id"] = stage
	}
	return command
}

func (w *Workflow) perform(ctx context.Context, command map[string]any) (json.RawMessage, error) {
	command["session_id"] = w.session.id
	fields := map[string]json.RawMessage{}
	for name, value := range command {
		if err := set(fields, name, value); err != nil {
			return nil, err
		}
	}
	return w.session.guard.Request(ctx, "workflow", object(fields))
}
