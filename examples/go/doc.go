// Package edictum guards the tool calls of an AI agent by rules.
//
//	guard, err := edictum.Open(ctx, edictum.FromYAML("rules.yaml"))
//	if err != nil { … }
//	defer guard.Close()
//
//	result, err := guard.Run(ctx, "read_file", map[string]any{"path": "README.md"}, readFile)
//	var blocked *edictum.BlockedError
//	if errors.As(err, &blocked) {
//		// Tell the agent blocked.Decision.Reason.
//	}
//
// The engine that decides is the same in every language, to the byte. This package is Go's way to it, through
// libedictum; it judges nothing itself.
//
// # A call
//
// [Guard.Run] does all of it: it asks whether the tool may run, waits for a person where the rules want one, runs the tool
// and judges what it returned. [Guard.Begin], [Guard.Settle] or [Guard.Wait], and [Guard.Finish] are the same step by step.
// [Guard.Evaluate] is a dry run that counts nothing.
//
// Whatever goes wrong while a call is judged is a block. An error of Begin means that nothing was decided: the tool must not
// run. An error of Finish means that the output must not be used.
//
// # JSON
//
// Arguments and results reach the engine as JSON texts. A [json.RawMessage] goes there as it is: 1.0 stays 1.0, and
// integers above 2^53 stay themselves. Everything else goes through [json.Marshal].
//
// # Contexts
//
// Who cancels gives up: the call returns at once with the error of the context, nothing stays behind, and a call that is
// allowed after that is closed as failed in the decision log.
//
// # Building
//
// The package is linked with libedictum from the folder lib beside its sources. In a clone of the repository,
//
//	cargo xtask libedictum
//
// puts it there. Programs find it there at run time, or beside themselves, or where the loader looks.
package edictum
