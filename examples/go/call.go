package edictum

import (
	"encoding/json"

	"github.com/edictum/edictum-guard-go/internal/rawjson"
)

// Call is one call to be judged.
type Call struct {
	// Tool is the tool's name.
	Tool string
	// Args is its arguments: something that becomes a JSON object. A [json.RawMessage] goes to the engine as it is. nil is no
	// arguments.
	Args any
	// Principal is whose call it is; nil: the resolver or the guard says.
	Principal *Principal
	// Nobody says that it is nobody's, whatever resolver and guard say.
	Nobody bool
	// Environment is instead of the guard's.
	Environment string
	// Metadata is for metadata.* selectors: something that becomes a JSON object.
	Metadata any
	// ToolUseID is the model's own id of the call.
	ToolUseID string
	// ParentCallID is a call that this one belongs to.
	ParentCallID string

	// SessionID is its session; default: that of the guard.
	SessionID string
	// CallID is its id; default: a new one. Unique in the guard.
	CallID string
	// ParentSessionID is the session that started this one.
	ParentSessionID string

	// Raw is the call as JSON (wit/schemas/call.schema.json), instead of all fields but the last three.
	Raw json.RawMessage
}

// Principal is whose call it is.
type Principal struct {
	UserID    string `json:"user_id,omitempty"`
	ServiceID string `json:"service_id,omitempty"`
	OrgID     string `json:"org_id,omitempty"`
	Role      string `json:"role,omitempty"`
	TicketRef string `json:"ticket_ref,omitempty"`
	// Claims is anything else that is known.
	Claims map[string]any `json:"claims,omitempty"`
}

// document is the call's text. Values are checked to be single ones: they bring no members of their own.
func (c *Call) document() (json.RawMessage, error) {
	if c.Raw != nil {
		return c.Raw, nil
	}
	text := make([]byte, 0, 256)
	text = append(text, `{"tool":`...)
	text = appendString(text, c.Tool)
	text = append(text, `,"args":`...)
	var err error
	if text, err = appendObject(text, "args", c.Args); err != nil {
		return nil, err
	}
	switch {
	case c.Nobody:
		text = append(text, `,"principal":null`...)
	case c.Principal != nil:
		text = append(text, `,"principal":`...)
		if text, err = appendObject(text, "principal", c.Principal); err != nil {
			return nil, err
		}
	}
	if c.Metadata != nil {
		text = append(text, `,"metadata":`...)
		if text, err = appendObject(text, "metadata", c.Metadata); err != nil {
			return nil, err
		}
	}
	for _, member := range [...]struct{ name, value string }{
		{`,"environment":`, c.Environment}, {`,"tool_use_id":`, c.ToolUseID}, {`,"parent_call_id":`, c.ParentCallID},
	} {
		if member.value != "" {
			text = append(text, member.name...)
			text = appendString(text, member.value)
		}
	}
	return append(text, '}'), nil
}

func appendObject(text []byte, name string, value any) ([]byte, error) {
	document, ok := value.(json.RawMessage)
	if !ok {
		if value == nil {
			return append(text, `{}`...), nil
		}
		var err error
		if document, err = encoded(value); err != nil {
			return nil, badRequest("`%s`: %v", name, err)
		}
	}
	if err := rawjson.Object(document); err != nil {
		return nil, badRequest("`%s` must be a JSON object: %v", name, err)
	}
	return append(text, document...), nil
}

// arguments is what a tool gets: what has been judged.
func (c *Call) arguments() (json.RawMessage, error) {
	members, err := rawjson.Members(c.Raw)
	if err != nil {
		return nil, badRequest("the call must be a JSON object: %v", err)
	}
	arguments := json.RawMessage("{}")
	for _, member := range members {
		if member.Key == "args" {
			arguments = member.Value
		}
	}
	return arguments, nil
}
