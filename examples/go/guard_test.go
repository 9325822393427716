package edictum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const rules = `
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: go}
defaults: {mode: enforce}
rules:
  - {id: no-rm, type: pre, tool: Bash, when: {args.command: {contains: rm}}, then: {action: block, message: no rm}}
  - {id: ask, type: pre, tool: Deploy, when: {args.to: {exists: true}}, then: {action: ask, message: deploy?}}
  - {id: keys, type: post, tool: '*', when: {output.text: {matches: 'sk-[a-z]+'}}, then: {action: redact, message: a key}}
`

const custom = `
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: custom}
defaults: {mode: enforce}
rules:
  - {id: near, type: pre, tool: Bash, when: {args.n: {near: 10.0}}, then: {action: block, message: near}}
  - {id: tier, type: pre, tool: Bash, when: {user.tier: {equals: free}}, then: {action: block, message: tier}}
  - {id: who, type: pre, tool: Bash, when: {principal.role: {equals: guest}}, then: {action: block, message: who}}
`

func opened(t testing.TB, source Source, options ...Option) *Guard {
	t.Helper()
	guard, err := Open(context.Background(), source, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := guard.Close(); err != nil {
			t.Error(err)
		}
	})
	return guard
}

func bash(command string) Call {
	return Call{Tool: "Bash", Args: map[string]any{"command": command}, SessionID: "s"}
}

var deploy = Call{Tool: "Deploy", Args: map[string]any{"to": "x"}, SessionID: "s"}

func TestABlockedToolDoesNotRun(t *testing.T) {
	guard := opened(t, FromYAMLString(rules))
	_, err := guard.Run(t.Context(), "Bash", map[string]any{"command": "rm x"}, func(context.Context, json.RawMessage) (any, error) {
		t.Error("it runs")
		return nil, nil
	})
	var blocked *BlockedError
	if !errors.As(err, &blocked) || !errors.Is(err, ErrBlocked) {
		t.Fatalf("%v", err)
	}
	decision := blocked.Decision
	if decision.Reason != "no rm" || decision.Name != "no-rm" || decision.Allowed() || decision.PolicyError || decision.Observed {
		t.Errorf("%+v", decision)
	}
	if !strings.Contains(string(decision.Detail), `"decision_source":"yaml_precondition"`) {
		t.Errorf("%s", decision.Detail)
	}
}

func TestAToolGetsWhatWasJudgedAndTheAgentWhatIsLeft(t *testing.T) {
	guard := opened(t, FromYAMLString(rules))
	// Neither numbers nor blanks nor escapes are written anew.
	given := json.RawMessage(`{ "a": 1.0, "b":12345678901234567890, "c":"<\u0061>" }`)
	result, err := guard.Run(t.Context(), "Echo", given, func(_ context.Context, args json.RawMessage) (any, error) {
		if string(args) != string(given) {
			t.Errorf("got %s", args)
		}
		return json.RawMessage(`{"n": 1.0}`), nil
	})
	if text, ok := result.(json.RawMessage); err != nil || !ok || string(text) != `{"n": 1.0}` {
		t.Errorf("%v %v", result, err)
	}
	result, err = guard.Run(t.Context(), "Echo", nil, func(context.Context, json.RawMessage) (any, error) { return "KEY=sk-abc", nil })
	if err != nil || result != "KEY=[REDACTED]" {
		t.Errorf("%v %v", result, err)
	}
	type args struct{ N json.Number }
	typed, err := RunTool(t.Context(), guard, Call{Tool: "Add", Args: args{"12345678901234567890"}}, func(_ context.Context, args args) ([]string, error) {
		return []string{string(args.N), "sk-abc"}, nil
	})
	if err != nil || len(typed) != 2 || typed[0] != "12345678901234567890" || typed[1] != "[REDACTED]" {
		t.Errorf("%v %v", typed, err)
	}
}

func TestAToolThatFailsIsSaidToHaveFailed(t *testing.T) {
	guard := opened(t, FromYAMLString(rules), WithSessionID("s"))
	broken := errors.New("no route with sk-abc")
	_, err := guard.Run(t.Context(), "Get", nil, func(context.Context, json.RawMessage) (any, error) { return nil, broken })
	var failed *ToolError
	if !errors.As(err, &failed) || !errors.Is(err, broken) || failed.Conclusion.Success {
		t.Fatalf("%v", err)
	}
	if failed.Error() != "no route with [REDACTED]" {
		t.Errorf("%q", failed.Error())
	}
	func() {
		defer func() {
			if recover() != "tool" {
				t.Error("the panic is lost")
			}
		}()
		_, _ = guard.Run(t.Context(), "Get", nil, func(context.Context, json.RawMessage) (any, error) { panic("tool") })
	}()
	_, err = guard.Run(t.Context(), "Get", nil, func(context.Context, json.RawMessage) (any, error) { return make(chan int), nil })
	if !errors.As(err, &failed) {
		t.Errorf("%v", err)
	}
	counters, err := guard.Session("s").Counters(t.Context())
	if err != nil || counters.ConsecFail != 3 || counters.Execs != 3 || counters.Tools["Get"] != 3 {
		t.Errorf("%+v %v", counters, err)
	}
}

func TestEachStepByItself(t *testing.T) {
	guard := opened(t, FromYAMLString(rules))
	call := bash("env")
	call.CallID, call.ParentSessionID = "c1", "parent"
	decision, err := guard.Begin(t.Context(), call)
	if err != nil || !decision.Allowed() || decision.CallID != "c1" {
		t.Fatalf("%+v %v", decision, err)
	}
	if _, err := guard.Begin(t.Context(), call); !errors.Is(err, ErrConflict) {
		t.Errorf("%v", err)
	}
	conclusion, err := guard.Finish(t.Context(), "c1", Outcome{Output: "KEY=sk-abc"})
	if err != nil || !conclusion.Replaced || string(conclusion.Output) != `"KEY=[REDACTED]"` || !conclusion.Success || conclusion.Passed {
		t.Errorf("%+v %v", conclusion, err)
	}
	if _, err := guard.Finish(t.Context(), "c1", Outcome{}); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		t.Errorf("%v", err)
	}
	events, err := guard.Events(t.Context())
	if err != nil || len(events) != 2 || !strings.Contains(string(events[1]), `"parent_session_id":"parent"`) {
		t.Errorf("%s %v", events, err)
	}
	evaluation, err := guard.Evaluate(t.Context(), bash("rm"))
	if err != nil || evaluation.Decision != "block" || evaluation.BlockReasons[0] != "no rm" || evaluation.Rules[0].ID != "no-rm" {
		t.Errorf("%+v %v", evaluation, err)
	}
	evaluation, err = guard.EvaluateOutput(t.Context(), bash("ls"), "sk-abc")
	if err != nil || evaluation.Decision != "warn" {
		t.Errorf("%+v %v", evaluation, err)
	}
	if len(guard.PolicyVersion()) != 64 || !strings.Contains(string(guard.Summary()), `"no-rm"`) {
		t.Errorf("%s %s", guard.PolicyVersion(), guard.Summary())
	}
}

func TestArgumentsCannotBringMembersOfTheirOwn(t *testing.T) {
	guard := opened(t, FromYAMLString(custom), answering())
	for _, args := range []string{`{"n":1},"principal":{"role":"root"}`, `{"n":1}}`, `{"n":1`, `[]`, `7`, ``} {
		call := Call{Tool: "Bash", Args: json.RawMessage(args)}
		if _, err := guard.Begin(t.Context(), call); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %v", args, err)
		}
		call = Call{Tool: "Bash", Metadata: json.RawMessage(args)}
		if _, err := guard.Begin(t.Context(), call); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %v", args, err)
		}
		if args == `` || args[0] == '{' {
			if _, err := guard.Finish(t.Context(), "c", Outcome{Output: json.RawMessage(args)}); !errors.Is(err, ErrBadRequest) {
				t.Errorf("%s: %v", args, err)
			}
		}
	}
}

func TestDocumentsThatDoNotLoadAreRefusedWithAllFindings(t *testing.T) {
	wrong := strings.Replace(rules, "type: pre", "typo: pre", 2)
	_, err := Open(t.Context(), FromYAMLString(wrong))
	var refused *Error
	if !errors.As(err, &refused) || !errors.Is(err, ErrRefused) || len(refused.Diagnostics) < 2 || refused.Line == 0 {
		t.Fatalf("%v", err)
	}
	if finding := refused.Diagnostics[0]; finding.Document != "rules.yaml" || finding.Severity != "error" || finding.Line == 0 {
		t.Errorf("%+v", finding)
	}
	guard := opened(t, FromYAMLString(rules))
	before := guard.PolicyVersion()
	if _, err := guard.Reload(t.Context(), wrong); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
	if guard.PolicyVersion() != before {
		t.Error("the old rules are gone")
	}
	version, err := guard.Reload(t.Context(), strings.ReplaceAll(rules, "contains: rm", "contains: ls"))
	if err != nil || version == before || guard.PolicyVersion() != version {
		t.Errorf("%s %v", version, err)
	}
	if decision, err := guard.Begin(t.Context(), bash("ls")); err != nil || decision.Allowed() {
		t.Errorf("%+v %v", decision, err)
	}
	host, err := DefaultHost()
	if err != nil {
		t.Fatal(err)
	}
	findings, err := host.Check(t.Context(), Ruleset{Name: "r", YAML: wrong})
	if err != nil || len(findings) < 2 {
		t.Errorf("%v %v", findings, err)
	}
}

func TestSources(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "rules.yaml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	stricter := strings.NewReplacer("contains: rm", "contains: ls", "id: no-rm", "id: no-ls", "id: ask", "id: ask2", "id: keys", "id: keys2").Replace(rules)
	blocks := func(guard *Guard, command string) bool {
		decision, err := guard.Begin(t.Context(), bash(command))
		if err != nil {
			t.Fatal(err)
		}
		return !decision.Allowed()
	}
	file := opened(t, FromYAML(path))
	if !blocks(file, "rm") || blocks(file, "ls") {
		t.Error("a file")
	}
	layers := opened(t, FromYAMLString(rules, stricter))
	if !blocks(layers, "rm") || !blocks(layers, "ls") {
		t.Error("layers")
	}
	several := opened(t, FromMultiple(FromYAML(path), FromMultiple(FromYAMLString(stricter), FromYAMLString(custom))), answering())
	if !blocks(several, "rm") || !blocks(several, "ls") || !strings.Contains(string(several.Summary()), `"near"`) {
		t.Error("several")
	}
	template := opened(t, FromTemplate("file-agent"))
	if !strings.Contains(string(template.Summary()), `"rules":[{`) {
		t.Errorf("%s", template.Summary())
	}
	for _, wrong := range []struct {
		source Source
		kind   error
	}{
		{FromYAML(filepath.Join(folder, "missing")), os.ErrNotExist},
		{FromTemplate("missing"), ErrNotFound},
		{FromDocument("open", json.RawMessage(`[]`)), ErrBadRequest},
		{FromDocument("shut", json.RawMessage(`{}`)), ErrUnsupported},
		{FromMultiple(FromYAML(path), FromServer(Server{})), ErrBadRequest},
		{FromServer(Server{URL: "http://192.0.2.1", APIKey: "edk_production_x"}), ErrRefused},
	} {
		if _, err := Open(t.Context(), wrong.source); !errors.Is(err, wrong.kind) {
			t.Errorf("%v is not %v", err, wrong.kind)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v", Server{APIKey: "secret"}, Server{APIKey: "secret"}, Server{APIKey: "secret"}); strings.Contains(shown, "secret") {
		t.Error(shown)
	}
}

func TestOptionsReachTheEngine(t *testing.T) {
	guard := opened(t, FromYAMLString(rules), WithMode("observe"), WithEnvironment("staging"), WithLimits(Limits{MaxAttempts: 2}),
		WithTools(map[string]Tool{"Fetch": {SideEffect: "read"}}), WithEnv(map[string]string{"A": "b"}), WithAgentID("me"),
		WithPrincipal(Principal{Role: "dev", Claims: map[string]any{"n": json.Number("1.0")}}), WithName("named"), WithOption("detail", "fired"))
	decision, err := guard.Begin(t.Context(), bash("rm"))
	if err != nil || !decision.Allowed() || !decision.Observed {
		t.Errorf("%+v %v", decision, err)
	}
	events, err := guard.Events(t.Context())
	if err != nil || len(events) == 0 {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{`"environment":"staging"`, `"agent_id":"me"`, `"role":"dev"`, `"n":1.0`, `"mode":"observe"`} {
		if !strings.Contains(string(events[0]), part) {
			t.Errorf("%s lacks %s", events[0], part)
		}
	}
	if !strings.Contains(string(guard.Summary()), `"Fetch":{"side_effect":"read"`) {
		t.Errorf("%s", guard.Summary())
	}
	if err := guard.SetPrincipal(&Principal{Role: "boss"}); err != nil {
		t.Error(err)
	}
	_, _ = guard.Begin(t.Context(), bash("rm"))
	if err := guard.SetPrincipal(nil); err != nil {
		t.Error(err)
	}
	_, _ = guard.Begin(t.Context(), Call{Tool: "Bash", Args: map[string]any{}, SessionID: "t", Environment: "dev", Metadata: map[string]int{"a": 1}})
	events, err = guard.Events(t.Context())
	if err != nil || len(events) < 2 || !strings.Contains(string(events[0]), `"role":"boss"`) {
		t.Fatalf("%s %v", events, err)
	}
	if last := string(events[len(events)-1]); !strings.Contains(last, `"principal":null`) || !strings.Contains(last, `"environment":"dev"`) {
		t.Error(last)
	}
	for _, option := range []Option{
		WithOption("no_such", 1), WithOption("mode", make(chan int)), WithWorkflow("no"), WithWorkflowFile("missing"), WithSigningKeys("00"), WithEventBuffer(-1),
		WithOperator("o", nil), WithApprover(nil), WithAuditSink(nil), OnBlock(nil), WithHook(Hook{Name: "h"}), WithRegistry(nil),
	} {
		other, err := Open(t.Context(), FromYAMLString(rules), option)
		if err == nil {
			// Only an empty registry is nothing wrong.
			_ = other.Close()
		}
	}
	if _, err := Open(t.Context(), FromYAMLString(rules), WithOption("no_such", 1)); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
	if _, err := Open(t.Context(), FromYAMLString(rules), WithSigningKeys("00")); err == nil {
		t.Error("an unsigned ruleset is taken")
	}
}

func answering() Option {
	return func(s *settings) error {
		for _, option := range []Option{
			WithOperator("near", func(_ context.Context, value, operand json.RawMessage) (bool, error) {
				if string(operand) != "10.0" {
					return false, fmt.Errorf("the operand is %s", operand)
				}
				switch string(value) {
				case "9":
					return true, nil
				case "-1":
					return false, errors.New("cannot say")
				case "-2":
					panic("cannot say")
				}
				return false, nil
			}),
			WithSelector("user", func(_ context.Context, call CallView) (any, error) {
				var args struct{ Tier string }
				err := json.Unmarshal(call.Args, &args)
				return map[string]string{"tier": args.Tier}, err
			}),
		} {
			if err := option(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestTheProgramIsAsked(t *testing.T) {
	var lock sync.Mutex
	var heard, told, logged []string
	add := func(to *[]string, what string) {
		lock.Lock()
		defer lock.Unlock()
		*to = append(*to, what)
	}
	guard := opened(t, FromYAMLString(custom), answering(),
		WithPrincipalResolver(func(_ context.Context, call CallView) (*Principal, error) {
			if call.Tool == "Nobody" {
				return nil, nil
			}
			return &Principal{Role: call.SessionID}, nil
		}),
		WithHook(Hook{
			Name: "hook", Tools: "B*",
			Before: func(_ context.Context, call CallView) (Verdict, error) {
				if strings.Contains(string(call.Args), "hook") {
					return Refuse("closed today"), nil
				}
				return Pass, nil
			},
			After: func(_ context.Context, call CallView, output json.RawMessage) error {
				add(&told, call.Tool+" "+string(output))
				return nil
			},
		}),
		WithSuccessCheck(func(_ context.Context, _ CallView, output json.RawMessage) (bool, error) {
			return string(output) == "1.0", nil
		}),
		WithAuditSink(AuditSinkFunc(func(events []json.RawMessage) error {
			for _, event := range events {
				var fields struct{ Action string }
				if err := json.Unmarshal(event, &fields); err != nil {
					return err
				}
				add(&logged, fields.Action)
			}
			return nil
		})),
		OnBlock(func(call CallView, decision *Decision) { add(&heard, "block "+decision.Name) }),
		OnAllow(func(call CallView, decision *Decision) { add(&heard, "allow "+call.Tool) }),
		OnError(func(call CallView, decision *Decision) { add(&heard, "error "+decision.Name) }),
	)
	for args, reason := range map[string]string{
		`{"n":1}`: "", `{"n":9}`: "near", `{"tier":"free"}`: "tier", `{"hook":1}`: "closed today",
	} {
		decision, err := guard.Begin(t.Context(), Call{Tool: "Bash", Args: json.RawMessage(args), SessionID: "dev"})
		if err != nil || decision.Reason != reason || decision.PolicyError {
			t.Errorf("%s: %+v %v", args, decision, err)
		}
	}
	for _, args := range []string{`{"n":-1}`, `{"n":-2}`} {
		decision, err := guard.Begin(t.Context(), Call{Tool: "Bash", Args: json.RawMessage(args), SessionID: "dev"})
		if err != nil || decision.Allowed() || !decision.PolicyError {
			t.Errorf("%s: %+v %v", args, decision, err)
		}
	}
	for _, call := range []Call{
		{Tool: "Bash", SessionID: "guest"}, {Tool: "Bash", SessionID: "dev", Principal: &Principal{Role: "guest"}},
	} {
		if decision, err := guard.Begin(t.Context(), call); err != nil || decision.Reason != "who" {
			t.Errorf("%+v %v", decision, err)
		}
	}
	if decision, err := guard.Begin(t.Context(), Call{Tool: "Bash", SessionID: "guest", Nobody: true}); err != nil || !decision.Allowed() {
		t.Errorf("%+v %v", decision, err)
	}
	decision, err := guard.Begin(t.Context(), Call{Tool: "Bash", SessionID: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	conclusion, err := guard.Finish(t.Context(), decision.CallID, Outcome{Output: json.RawMessage("1.0")})
	if err != nil || !conclusion.Success {
		t.Errorf("%+v %v", conclusion, err)
	}
	lock.Lock()
	defer lock.Unlock()
	if fmt.Sprint(told) != "[Bash 1.0]" {
		t.Errorf("%v", told)
	}
	count := func(what string) (found int) {
		for _, line := range heard {
			if line == what {
				found++
			}
		}
		return found
	}
	if count("block near") < 1 || count("block tier") != 1 || count("block hook") != 1 || count("block who") != 2 || count("allow Bash") != 3 {
		t.Errorf("%v", heard)
	}
	if errors := len(heard) - count("block near") - 4 - count("allow Bash"); errors < 2 {
		t.Errorf("%v", heard)
	}
	if len(logged) < 11 || logged[len(logged)-1] != "call_executed" {
		t.Errorf("%v", logged)
	}
}

func TestASinkThatFailsBlocksWhereTheLogIsRequired(t *testing.T) {
	guard := opened(t, FromYAMLString(rules), WithOption("decision_log_required", true),
		WithAuditSink(AuditSinkFunc(func([]json.RawMessage) error { panic("full") })))
	decision, err := guard.Begin(t.Context(), bash("ls"))
	if err != nil || decision.Allowed() || !decision.PolicyError {
		t.Errorf("%+v %v", decision, err)
	}
}

func TestAPersonIsWaitedFor(t *testing.T) {
	guard := opened(t, FromYAMLString(rules))
	ran := make(chan error, 1)
	call := deploy
	call.CallID = "d1"
	go func() {
		_, err := guard.RunCall(t.Context(), call, func(context.Context, json.RawMessage) (any, error) { return "done", nil })
		ran <- err
	}()
	for {
		decision, err := guard.Settle(t.Context(), "d1", Approval{Verdict: Approved, Approver: "ann"})
		if err == nil {
			if !decision.Allowed() {
				t.Errorf("%+v", decision)
			}
			break
		}
		if !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if _, err := guard.Settle(t.Context(), "d1", Approval{Verdict: "maybe"}); !errors.Is(err, ErrBadRequest) {
		t.Errorf("%v", err)
	}
}

func TestAnApproverAnswersFails(t *testing.T) {
	var request atomic.Pointer[ApprovalRequest]
	approver := ApproverFunc(func(_ context.Context, asked ApprovalRequest) (Approval, error) {
		request.Store(&asked)
		switch {
		case strings.Contains(string(asked.ToolArgs), "panic"):
			panic("gone")
		case strings.Contains(string(asked.ToolArgs), "error"):
			return Approval{Verdict: Approved}, errors.New("nobody is here")
		case strings.Contains(string(asked.ToolArgs), "nothing"):
			return Approval{}, nil
		case strings.Contains(string(asked.ToolArgs), "no"):
			return Approval{Verdict: Rejected, Reason: "not on Fridays"}, nil
		}
		return Approval{Verdict: Approved, Approver: "ann"}, nil
	})
	guard := opened(t, FromYAMLString(rules), WithApprover(approver))
	run := func(to string) error {
		_, err := guard.Run(t.Context(), "Deploy", map[string]string{"to": to}, func(context.Context, json.RawMessage) (any, error) { return 1, nil })
		return err
	}
	if err := run("yes"); err != nil {
		t.Error(err)
	}
	asked := request.Load()
	if asked.Message != "deploy?" || asked.ToolName != "Deploy" || asked.CallID == "" || asked.DeadlineMS == 0 || asked.TimeoutSeconds == 0 {
		t.Errorf("%+v", asked)
	}
	for _, to := range []string{"no", "error", "panic", "nothing"} {
		if err := run(to); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestWhoGivesUpLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	guard := opened(t, FromYAMLString(rules), WithApprover(ApproverFunc(func(ctx context.Context, _ ApprovalRequest) (Approval, error) {
		<-ctx.Done()
		return Approval{}, ctx.Err()
	})))
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := guard.RunCall(ctx, deploy, func(context.Context, json.RawMessage) (any, error) { return 1, nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v", err)
		}
		cancel()
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := guard.Begin(ctx, deploy); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	if _, err := Open(ctx, FromYAMLString(rules)); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	eventually(t, func() bool { return runtime.NumGoroutine() <= before })
	waiting.Range(func(id, _ any) bool {
		t.Errorf("operation %v is waited for by nobody", id)
		return true
	})
}

func TestACallThatIsGivenUpIsFinishedAsFailed(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	guard := opened(t, FromYAMLString(rules), WithHook(Hook{Name: "slow", Before: func(context.Context, CallView) (Verdict, error) {
		close(asked)
		<-goOn
		return Pass, nil
	}}))
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan error, 1)
	go func() {
		_, err := guard.Begin(ctx, bash("ls"))
		begun <- err
	}()
	<-asked
	cancel()
	if err := <-begun; !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	close(goOn)
	var seen strings.Builder
	eventually(t, func() bool {
		events, err := guard.Events(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events {
			seen.Write(event)
		}
		return strings.Contains(seen.String(), `"call_failed"`)
	})
}

func TestAClosedGuardRefusesAndTellsThoseWhoWait(t *testing.T) {
	living := make(chan struct{})
	guard, err := Open(t.Context(), FromYAMLString(rules), WithHook(Hook{Name: "hook", Tools: "Slow", Before: func(ctx context.Context, _ CallView) (Verdict, error) {
		<-ctx.Done()
		close(living)
		return Pass, nil
	}}))
	if err != nil {
		t.Fatal(err)
	}
	decision, err := guard.Begin(t.Context(), deploy)
	if err != nil || decision.Action != Ask {
		t.Fatalf("%+v %v", decision, err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := guard.Wait(context.Background(), decision.CallID)
		waited <- err
	}()
	go func() { _, _ = guard.Begin(context.Background(), Call{Tool: "Slow"}) }()
	time.Sleep(10 * time.Millisecond)
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	if err := guard.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waited; !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := guard.Begin(t.Context(), bash("ls")); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := guard.SetPrincipal(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if guard.PolicyVersion() != "" || guard.Summary() != nil {
		t.Error("it still says something")
	}
	select {
	case <-living:
	case <-time.After(30 * time.Second):
		t.Error("the context of callbacks goes on")
	}
}

func TestTimePasses(t *testing.T) {
	host, err := NewHost(HostOptions{Deciders: 1, MemoryBytes: 128 << 20, StepDeadline: time.Minute, CallbackDeadline: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewHost(HostOptions{Deciders: -1}); !errors.Is(err, ErrBadRequest) {
		t.Errorf("%v", err)
	}
	guard := opened(t, FromYAMLString(rules), WithHost(host))
	decision, err := guard.Begin(t.Context(), deploy)
	if err != nil || decision.Action != Ask {
		t.Fatalf("%+v %v", decision, err)
	}
	waited := make(chan *Decision, 1)
	go func() {
		decision, err := guard.Wait(context.Background(), decision.CallID)
		if err != nil {
			t.Error(err)
		}
		waited <- decision
	}()
	eventually(t, func() bool { n := 0; waiting.Range(func(any, any) bool { n++; return true }); return n > 0 })
	if err := host.SetTime(time.Now().Add(24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if decision := <-waited; decision == nil || decision.Allowed() {
		t.Errorf("%+v", decision)
	}
}

const stages = `
apiVersion: edictum/v1
kind: Workflow
metadata: {name: w}
stages:
  - {id: read, tools: [Read], exit: [{condition: file_read("spec.md"), message: read it}]}
  - {id: change, entry: [{condition: stage_complete("read")}], tools: [Edit]}
`

func TestAWorkflowLivesInAStoreThatOthersMayShare(t *testing.T) {
	folder := t.TempDir()
	options := []Option{WithWorkflow(stages), WithStore(folder), WithName("shared")}
	one := opened(t, FromYAMLString(rules), options...)
	session := one.Session("s")
	if session.ID() != "s" {
		t.Error(session.ID())
	}
	if _, err := session.Run(t.Context(), "Edit", nil, func(context.Context, json.RawMessage) (any, error) { return 1, nil }); !errors.Is(err, ErrBlocked) {
		t.Errorf("%v", err)
	}
	if _, err := session.Workflow().SetStage(t.Context(), "change"); err != nil {
		t.Fatal(err)
	}
	decision, err := session.Begin(t.Context(), Call{Tool: "Edit", CallID: "open"})
	if err != nil || !decision.Allowed() {
		t.Fatalf("%+v %v", decision, err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	two := opened(t, FromYAMLString(rules), options...)
	if _, err := two.Finish(t.Context(), "open", Outcome{Output: "ok"}); err != nil {
		t.Error(err)
	}
	workflow := two.Session("s").Workflow()
	state, err := workflow.State(t.Context())
	if err != nil || !strings.Contains(string(state), `"active_stage": "change"`) {
		t.Errorf("%s %v", state, err)
	}
	reset, err := workflow.Reset(t.Context(), "")
	if err != nil || !strings.Contains(string(reset), `"active_stage": "read"`) {
		t.Errorf("%s %v", reset, err)
	}
	if loaded, err := workflow.Load(t.Context(), state); err != nil || !strings.Contains(string(loaded), `"active_stage": "change"`) {
		t.Errorf("%s %v", loaded, err)
	}
	if _, err := workflow.Approve(t.Context(), "nowhere"); err == nil {
		t.Error("a stage that is not there is approved")
	}
	counters, err := two.Session("s").SetCounters(t.Context(), map[string]int{"attempts": 7, "tool:Edit": 3})
	if err != nil || counters.Attempts != 7 || counters.Tools["Edit"] != 3 {
		t.Errorf("%+v %v", counters, err)
	}
}

func TestGoroutinesShareAGuard(t *testing.T) {
	guard := opened(t, FromYAMLString(rules), answering(), WithEventBuffer(1<<16))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			session := guard.Session(fmt.Sprint("s", worker/2))
			for turn := range 100 {
				if turn%2 == 0 {
					result, err := session.Run(t.Context(), "Bash", map[string]any{"command": "ls"}, func(context.Context, json.RawMessage) (any, error) { return turn, nil })
					if err != nil || result != turn {
						t.Errorf("%v %v", result, err)
					}
				} else if _, err := session.Run(t.Context(), "Bash", map[string]any{"command": "rm"}, nil); !errors.Is(err, ErrBlocked) {
					t.Errorf("%v", err)
				}
				if turn%25 == 0 {
					if _, err := guard.Reload(t.Context(), rules+fmt.Sprintf("# %d\n", turn)); err != nil {
						t.Error(err)
					}
				}
			}
		}()
	}
	group.Wait()
	for session := range 4 {
		counters, err := guard.Session(fmt.Sprint("s", session)).Counters(t.Context())
		if err != nil || counters.Attempts != 200 || counters.Execs != 100 {
			t.Errorf("%+v %v", counters, err)
		}
	}
}

func TestCloseWhileOthersCall(t *testing.T) {
	for range 20 {
		guard, err := Open(t.Context(), FromYAMLString(rules))
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 4 {
			group.Add(1)
			go func() {
				defer group.Done()
				for {
					if _, err := guard.Evaluate(context.Background(), bash("ls")); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			}()
		}
		time.Sleep(time.Millisecond)
		if err := guard.Close(); err != nil {
			t.Error(err)
		}
		group.Wait()
	}
}

// The library has handlers for the signals of faults; those of Go's own come to Go all the same.
func TestFaultsOfGoStayGosOwn(t *testing.T) {
	guard := opened(t, FromYAMLString(rules))
	for range 3 {
		if _, err := guard.Evaluate(t.Context(), bash("ls")); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if err, ok := recover().(runtime.Error); !ok || !strings.Contains(err.Error(), "nil pointer") {
					t.Errorf("%v", err)
				}
			}()
			var nobody *Principal
			_ = nobody.Role
		}()
	}
}

func TestTheLibrarysLogGoesWhereItIsWanted(t *testing.T) {
	var lines atomic.Int64
	if err := SetLog("loud", func(string) {}); !errors.Is(err, ErrBadRequest) {
		t.Errorf("%v", err)
	}
	if err := SetLog("warn", func(line string) {
		if strings.Contains(line, "events cannot be kept") {
			lines.Add(1)
		}
		panic("nobody")
	}); errors.Is(err, ErrConflict) {
		t.Skip("an earlier run in this process has it")
	} else if err != nil {
		t.Fatal(err)
	}
	if err := SetLog("warn", func(string) {}); !errors.Is(err, ErrConflict) {
		t.Errorf("%v", err)
	}
	guard := opened(t, FromYAMLString(rules), WithAuditSink(AuditSinkFunc(func([]json.RawMessage) error { return errors.New("full") })))
	if _, err := guard.Begin(t.Context(), bash("ls")); err != nil || lines.Load() != 1 {
		t.Errorf("%d %v", lines.Load(), err)
	}
}

func TestSignatures(t *testing.T) {
	host, err := DefaultHost()
	if err != nil {
		t.Fatal(err)
	}
	// The first vector of RFC 8032 signs nothing at all.
	const key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	const signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
	if by, err := host.Verify(nil, signature, key); err != nil || by != key {
		t.Errorf("%s %v", by, err)
	}
	if _, err := host.Verify([]byte("x"), signature, key); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("%v", err)
	}
	if Version() == "" {
		t.Error("no version")
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for range 3000 {
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it never comes")
}
