package edictum

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Source is where a guard's rules come from: one of the From functions.
type Source interface {
	// load gives the operation that opens such a guard, and its fields.
	load(ctx context.Context, host *Host) (op string, fields map[string]json.RawMessage, err error)
}

type sourceFunc func(ctx context.Context, host *Host) (string, map[string]json.RawMessage, error)

func (f sourceFunc) load(ctx context.Context, host *Host) (string, map[string]json.RawMessage, error) {
	return f(ctx, host)
}

// FromYAML reads rulesets from files; each is laid over those before it.
func FromYAML(paths ...string) Source {
	return sourceFunc(func(ctx context.Context, host *Host) (string, map[string]json.RawMessage, error) {
		rulesets := make([]Ruleset, 0, len(paths))
		for _, path := range paths {
			yaml, err := os.ReadFile(path)
			if err != nil {
				return "", nil, err
			}
			rulesets = append(rulesets, Ruleset{Name: path, YAML: string(yaml)})
		}
		return FromRulesets(rulesets...).load(ctx, host)
	})
}

// FromYAMLString takes rulesets as texts; each is laid over those before it.
func FromYAMLString(texts ...string) Source {
	rulesets := make([]Ruleset, 0, len(texts))
	for number, yaml := range texts {
		name := "rules.yaml"
		if len(texts) > 1 {
			name = fmt.Sprintf("rules-%d.yaml", number+1)
		}
		rulesets = append(rulesets, Ruleset{Name: name, YAML: yaml})
	}
	return FromRulesets(rulesets...)
}

// FromRulesets takes rulesets with their names and signatures.
func FromRulesets(rulesets ...Ruleset) Source {
	return sourceFunc(func(context.Context, *Host) (string, map[string]json.RawMessage, error) {
		fields := map[string]json.RawMessage{}
		err := set(fields, "rulesets", slices.Concat([]Ruleset{}, rulesets))
		return "open", fields, err
	})
}

// FromTemplate takes a ruleset that comes with the engine; see [Host.Templates].
func FromTemplate(name string) Source {
	return sourceFunc(func(ctx context.Context, host *Host) (string, map[string]json.RawMessage, error) {
		templates, err := host.Templates(ctx)
		if err != nil {
			return "", nil, err
		}
		var names []string
		for _, template := range templates {
			if template.Name == name {
				return FromRulesets(template).load(ctx, host)
			}
			names = append(names, template.Name)
		}
		return "", nil, &Error{
			Code:    "not-found",
			Message: fmt.Sprintf("there is no template `%s`; there are %s", name, strings.Join(names, ", ")),
		}
	})
}

// FromMultiple lays guards behind one another: of two rules with one id the first wins.
func FromMultiple(first Source, others ...Source) Source {
	return sourceFunc(func(ctx context.Context, host *Host) (string, map[string]json.RawMessage, error) {
		op, fields, err := first.load(ctx, host)
		if err != nil {
			return "", nil, err
		}
		options := map[string]json.RawMessage{}
		if given, ok := fields["options"]; ok {
			if err := json.Unmarshal(given, &options); err != nil {
				return "", nil, badRequest("`options` must be an object")
			}
		}
		var merged []json.RawMessage
		if before, ok := options["merge"]; ok {
			if err := json.Unmarshal(before, &merged); err != nil {
				return "", nil, badRequest("`merge` must be an array")
			}
		}
		for _, other := range others {
			otherOp, other, err := other.load(ctx, host)
			if err != nil {
				return "", nil, err
			}
			if otherOp != "open" {
				return "", nil, badRequest("a guard with a server can only be the first of several")
			}
			guard, err := behind(other)
			if err != nil {
				return "", nil, err
			}
			merged = append(merged, guard...)
		}
		if len(merged) > 0 {
			if err := set(options, "merge", merged); err != nil {
				return "", nil, err
			}
			err = set(fields, "options", options)
		}
		return op, fields, err
	})
}

// behind is a guard as a member of `merge`, and after it those that it has merged itself.
func behind(fields map[string]json.RawMessage) ([]json.RawMessage, error) {
	guard := map[string]json.RawMessage{}
	var rulesets []struct {
		Name string `json:"name"`
		YAML string `json:"yaml"`
	}
	if err := json.Unmarshal(fields["rulesets"], &rulesets); err != nil {
		return nil, badRequest("`rulesets` must be an array of rulesets")
	}
	if err := set(guard, "rulesets", rulesets); err != nil {
		return nil, err
	}
	var further []json.RawMessage
	if given, ok := fields["options"]; ok {
		options := map[string]json.RawMessage{}
		if err := json.Unmarshal(given, &options); err != nil {
			return nil, badRequest("`options` must be an object")
		}
		if merge, ok := options["merge"]; ok {
			if err := json.Unmarshal(merge, &further); err != nil {
				return nil, badRequest("`merge` must be an array")
			}
			delete(options, "merge")
		}
		if err := set(guard, "options", options); err != nil {
			return nil, err
		}
	}
	document, err := json.Marshal(guard)
	return append([]json.RawMessage{document}, further...), err
}

// Server is a guard whose rules, sessions, approvals and decision log are with an edictum-api. Only URL and APIKey must be
// given; what is left out has the default of the driver protocol's open_server.
type Server struct {
	// URL is the base address. Plain http only to loopback, unless AllowInsecure.
	URL string `json:"url"`
	// APIKey is the credential of every request.
	APIKey string `json:"api_key"`
	// AgentID is who this is; default "default".
	AgentID string `json:"agent_id,omitempty"`
	// Env is the environment; default "production".
	Env string `json:"env,omitempty"`
	// BundleName is the ruleset; without one the server assigns it, within 30 s.
	BundleName string `json:"bundle_name,omitempty"`
	// Tags is what the server assigns by.
	Tags map[string]string `json:"tags,omitempty"`
	// AutoWatch is whether new rules are waited for; nil: yes.
	AutoWatch *bool `json:"auto_watch,omitempty"`
	// AllowInsecure permits plain http to other machines.
	AllowInsecure bool `json:"allow_insecure,omitempty"`
	// Sessions says where sessions are: "server" (default), "memory", or {"path": folder}.
	Sessions any `json:"store,omitempty"`
	// Approvals says who is asked: "server" (default), "host" ([WithApprover], [Guard.Settle]) or "none".
	Approvals string `json:"approvals,omitempty"`
	// DecisionLog says where events go: "server" (default) or "local".
	DecisionLog string `json:"decision_log,omitempty"`
}

// String leaves the key out.
func (s Server) String() string {
	return fmt.Sprintf("Server{URL: %q, AgentID: %q, Env: %q, BundleName: %q}", s.URL, s.AgentID, s.Env, s.BundleName)
}

// GoString leaves the key out.
func (s Server) GoString() string {
	return s.String()
}

// FromServer takes rules from a server. [ErrUnsupported]: this libedictum cannot.
func FromServer(server Server) Source {
	return sourceFunc(func(context.Context, *Host) (string, map[string]json.RawMessage, error) {
		document, err := json.Marshal(server)
		if err != nil {
			return "", nil, err
		}
		fields := map[string]json.RawMessage{}
		err = json.Unmarshal(document, &fields)
		return "open_server", fields, err
	})
}

// FromDocument opens a guard by the operation open or open_server of the driver protocol and its fields, a JSON object.
func FromDocument(op string, document json.RawMessage) Source {
	return sourceFunc(func(context.Context, *Host) (string, map[string]json.RawMessage, error) {
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal(document, &fields); err != nil {
			return "", nil, badRequest("the document must be a JSON object")
		}
		return op, fields, nil
	})
}

func set(fields map[string]json.RawMessage, name string, value any) error {
	document, err := encoded(value)
	if err != nil {
		return badRequest("`%s`: %v", name, err)
	}
	fields[name] = document
	return nil
}
