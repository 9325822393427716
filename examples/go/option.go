package edictum

// #include "native.h"
import "C"

import (
	"encoding/json"
	"maps"
	"os"
)

// Option is something about a guard that is to be opened.
type Option func(*settings) error

type settings struct {
	host       *Host
	fields     map[string]json.RawMessage
	options    map[string]json.RawMessage
	parts      []part
	eventBytes int
	approver   Approver
	principal  *Principal
	listeners  []func(CallView, *Decision)
}

// A part of a setup: a name or a place, and a function of ours.
type part struct {
	what     C.int
	name     string
	function any
}

func field(name string, value any) Option {
	return func(s *settings) error { return set(s.fields, name, value) }
}

// WithHost uses another host than [DefaultHost].
func WithHost(host *Host) Option {
	return func(s *settings) error {
		s.host = host
		return nil
	}
}

// WithName names the guard; default "guard". Open calls in a store belong to it: a guard of the same name goes on with them.
func WithName(name string) Option { return field("guard", name) }

// WithMode is "enforce" or "observe", instead of what the rules say.
func WithMode(mode string) Option { return field("mode", mode) }

// WithEnvironment is what rules see as environment; default "production".
func WithEnvironment(environment string) Option { return field("environment", environment) }

// WithTools says what tools do to the world, as `tools` in YAML.
func WithTools(tools map[string]Tool) Option { return field("tools", tools) }

// Tool says what a tool does to the world.
type Tool struct {
	// SideEffect is pure, read, write or irreversible (default).
	SideEffect string `json:"side_effect,omitempty"`
	// Idempotent: a second time changes nothing.
	Idempotent bool `json:"idempotent,omitempty"`
}

// Limits bounds a session. Zero means none.
type Limits struct {
	MaxToolCalls    int            `json:"max_tool_calls,omitempty"`
	MaxAttempts     int            `json:"max_attempts,omitempty"`
	MaxCallsPerTool map[string]int `json:"max_calls_per_tool,omitempty"`
}

// WithLimits bounds sessions; without any limit they have 200 calls and 500 attempts.
func WithLimits(limits Limits) Option { return field("limits", limits) }

// WithEnv is what env.* selectors see, instead of the environment of the process.
func WithEnv(variables map[string]string) Option { return field("env", variables) }

// WithPrincipal is whose calls they are when nothing else says so.
func WithPrincipal(principal Principal) Option {
	return func(s *settings) error {
		s.principal = &principal
		return nil
	}
}

// WithWorkflow attaches a workflow (YAML).
func WithWorkflow(yaml string) Option { return field("workflow", yaml) }

// WithWorkflowFile attaches a workflow from a file.
func WithWorkflowFile(path string) Option {
	return func(s *settings) error {
		yaml, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return set(s.fields, "workflow", string(yaml))
	}
}

// WithExec permits exec(...) conditions of workflows: they run commands.
func WithExec() Option { return field("exec_enabled", true) }

// WithStore keeps sessions and open calls in this folder, which any number of processes and languages may share. Without it
// they are in memory.
func WithStore(folder string) Option { return field("store", map[string]string{"path": folder}) }

// WithSigningKeys demands that each ruleset is signed by one of these keys (64 hex digits each).
func WithSigningKeys(keys ...string) Option {
	return func(s *settings) error {
		if err := set(s.fields, "verify_signatures", true); err != nil {
			return err
		}
		return set(s.fields, "signing_public_keys", append([]string{}, keys...))
	}
}

// WithRegistry is where `extends` finds rulesets, by name.
func WithRegistry(rulesets map[string]string) Option { return field("registry", rulesets) }

// WithOption sets an option of the engine by its name (wit/schemas/options.schema.json).
func WithOption(name string, value any) Option {
	return func(s *settings) error { return set(s.options, name, value) }
}

// WithAgentID says which agent this is.
func WithAgentID(id string) Option {
	return func(s *settings) error {
		s.parts = append(s.parts, part{what: C.EDICTUM_GO_AGENT_ID, name: id})
		return nil
	}
}

// WithSessionID is the session of calls that name none; default: a new one.
func WithSessionID(id string) Option {
	return func(s *settings) error {
		s.parts = append(s.parts, part{what: C.EDICTUM_GO_SESSION_ID, name: id})
		return nil
	}
}

// WithEventBuffer is how many bytes of events wait for [Guard.Events]; default 4 MiB.
func WithEventBuffer(bytes int) Option {
	return func(s *settings) error {
		if bytes < 0 {
			return badRequest("a buffer cannot be negative")
		}
		s.eventBytes = bytes
		return nil
	}
}

// document is the fields of the operation that opens the guard; what options say wins over what the source says.
func (s *settings) document(op string, source map[string]json.RawMessage) (json.RawMessage, error) {
	fields := map[string]json.RawMessage{"guard": json.RawMessage(`"guard"`)}
	maps.Copy(fields, source)
	if op == "open_server" {
		s.forServer(source)
	}
	maps.Copy(fields, s.fields)
	if len(s.options) > 0 {
		options := map[string]json.RawMessage{}
		if given, ok := source["options"]; ok {
			if err := json.Unmarshal(given, &options); err != nil {
				return nil, badRequest("`options` must be an object")
			}
		}
		maps.Copy(options, s.options)
		fields["options"] = object(options)
	}
	return object(fields), nil
}

// forServer puts what open_server has no field for where it has a place. What the program does itself the server does not.
func (s *settings) forServer(source map[string]json.RawMessage) {
	for _, name := range []string{"environment", "tools", "limits", "env", "registry"} {
		if value, ok := s.fields[name]; ok {
			s.options[name] = value
			delete(s.fields, name)
		}
	}
	if _, chosen := source["approvals"]; !chosen && s.approver != nil {
		s.fields["approvals"] = json.RawMessage(`"host"`)
	}
	for _, part := range s.parts {
		if _, chosen := source["decision_log"]; !chosen && part.what == C.EDICTUM_GO_SINK {
			s.fields["decision_log"] = json.RawMessage(`"local"`)
		}
	}
}
