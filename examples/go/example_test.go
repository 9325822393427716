package edictum_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	edictum "github.com/edictum/edictum-guard-go"
)

const exampleRules = `
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: example}
defaults: {mode: enforce}
rules:
  - id: no-force-push
    type: pre
    tool: Bash
    when: {args.command: {contains: push --force}}
    then: {action: block, message: 'Push without force, please.'}
  - id: no-keys
    type: post
    tool: '*'
    when: {output.text: {matches: 'sk-[a-z0-9]+'}}
    then: {action: redact, message: The output holds a key.}
`

// The quick start: a guard, and tools that run if they may.
func Example() {
	ctx := context.Background()
	guard, err := edictum.Open(ctx, edictum.FromYAMLString(exampleRules))
	if err != nil {
		log.Fatal(err)
	}
	defer guard.Close()

	bash := func(_ context.Context, args json.RawMessage) (any, error) {
		return "KEY=sk-123", nil
	}
	_, err = guard.Run(ctx, "Bash", map[string]any{"command": "git push --force"}, bash)
	var blocked *edictum.BlockedError
	if errors.As(err, &blocked) {
		fmt.Println(blocked.Decision.Name, "says:", blocked.Decision.Reason)
	}
	result, err := guard.Run(ctx, "Bash", map[string]any{"command": "env"}, bash)
	fmt.Println(result, err)
	// Output:
	// no-force-push says: Push without force, please.
	// KEY=[REDACTED] <nil>
}

// A tool with types of its own.
func ExampleRunTool() {
	ctx := context.Background()
	guard, err := edictum.Open(ctx, edictum.FromTemplate("file-agent"))
	if err != nil {
		log.Fatal(err)
	}
	defer guard.Close()

	type args struct {
		Path string `json:"path"`
	}
	read := func(_ context.Context, args args) (string, error) {
		return "contents of " + args.Path, nil
	}
	text, err := edictum.RunTool(ctx, guard, edictum.Call{Tool: "read_file", Args: args{"README.md"}}, read)
	fmt.Println(text, err)
	_, err = edictum.RunTool(ctx, guard, edictum.Call{Tool: "read_file", Args: args{"/home/me/.ssh/id_rsa"}}, read)
	fmt.Println(errors.Is(err, edictum.ErrBlocked))
	// Output:
	// contents of README.md <nil>
	// true
}

// A person is asked, by whatever means the program has.
func ExampleWithApprover() {
	const rules = `
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: example}
defaults: {mode: enforce}
rules:
  - {id: ask, type: pre, tool: deploy, when: {args.to: {equals: production}}, then: {action: ask, message: 'Deploy to {args.to}?'}}
`
	ctx := context.Background()
	ann := edictum.ApproverFunc(func(_ context.Context, request edictum.ApprovalRequest) (edictum.Approval, error) {
		fmt.Println(request.Message)
		return edictum.Approval{Verdict: edictum.Approved, Approver: "ann"}, nil
	})
	guard, err := edictum.Open(ctx, edictum.FromYAMLString(rules), edictum.WithApprover(ann))
	if err != nil {
		log.Fatal(err)
	}
	defer guard.Close()

	result, err := guard.Run(ctx, "deploy", map[string]string{"to": "production"}, func(context.Context, json.RawMessage) (any, error) {
		return "deployed", nil
	})
	fmt.Println(result, err)
	// Output:
	// Deploy to production?
	// deployed <nil>
}

// An operator of the program's own.
func ExampleWithOperator() {
	const rules = `
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: example}
defaults: {mode: enforce}
rules:
  - {id: odd, type: pre, tool: count, when: {args.n: {divisible_by: 2}}, then: {action: block, message: odd numbers only}}
`
	divisible := func(_ context.Context, value, operand json.RawMessage) (bool, error) {
		var n, by int64
		if err := errors.Join(json.Unmarshal(value, &n), json.Unmarshal(operand, &by)); err != nil {
			return false, err
		}
		return n%by == 0, nil
	}
	ctx := context.Background()
	guard, err := edictum.Open(ctx, edictum.FromYAMLString(rules), edictum.WithOperator("divisible_by", divisible))
	if err != nil {
		log.Fatal(err)
	}
	defer guard.Close()

	for _, n := range []int{3, 4} {
		evaluation, err := guard.Evaluate(ctx, edictum.Call{Tool: "count", Args: map[string]int{"n": n}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n, evaluation.Decision, evaluation.BlockReasons)
	}
	// Output:
	// 3 allow []
	// 4 block [odd numbers only]
}
