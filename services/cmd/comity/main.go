// Command comity is the operator's tool: it runs a region of states on one machine, and talks to the nodes of any.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRootCommand().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	code, silent := errors.AsType[exitCode](err)
	switch {
	case err == nil:
	case silent:
		os.Exit(int(code))
	case interrupted && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "comity: interrupted")
		os.Exit(130) // as a shell reports SIGINT
	default:
		fmt.Fprintln(os.Stderr, "comity:", err)
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "comity",
		Short:         "Share border statistics between states, and nothing else",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.AddCommand(
		newSandboxCommand(),
		newNodeCommand(),
		newSubmitCommand(),
		newAgreementCommand(),
		newStructureCommand(),
		newExplainCommand(),
		newPublishCommand(),
		newQuarantineCommand(),
		newForkCommand(),
		newStaleCommand(),
		newTrustCommand(),
		newDoctorCommand(),
		newKillCommand(),
		newPolicyCommand(),
		newAuditCommand(),
		newTCKCommand(),
		newBenchCommand(),
		newSoakCommand(),
	)
	return cmd
}
