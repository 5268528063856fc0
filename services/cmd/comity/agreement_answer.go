package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// act makes a call about an agreement, and returns how that stands after it.
func act(cmd *cobra.Command, node *target, id, verb string, request proto.Message) (*sharingpb.Agreement, error) {
	client, err := node.open()
	if err != nil {
		return nil, err
	}
	agreement := &sharingpb.Agreement{}
	if err := client.post(cmd.Context(), agreementPath(id)+":"+verb, request, agreement); err != nil {
		return nil, fmt.Errorf("%s %s: %w", verb, id, err)
	}
	return agreement, nil
}

func newAcceptCommand(node *target) *cobra.Command {
	request := &sharingpb.SignAgreementRequest{}
	cmd := &cobra.Command{
		Use:   "accept ID --version N",
		Short: "Sign the version of an agreement that was read, and no other",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			agreement, err := act(cmd, node, args[0], "sign", request)
			if err != nil {
				return err
			}
			return show(cmd, fmt.Sprintf("%s is signed by %s: %s\n", title(agreement), signers(agreement), agreement.GetState()))
		},
	}
	cmd.Flags().Int32Var(&request.Version, "version", 0, "the version that was read; `comity agreement show` tells")
	_ = cmd.MarkFlagRequired("version")
	return cmd
}

func newCounterCommand(node *target) *cobra.Command {
	return &cobra.Command{
		Use:   "counter ID FILE",
		Short: "Answer the partner's proposal with other terms, signed",
		Long: `Answer the partner's newest proposal with other terms, from a file as for propose. They are the next version of the
agreement, signed by this state and sent; what the partner proposed can be signed no more.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			terms, err := readTerms(args[1])
			if err != nil {
				return err
			}
			agreement, err := act(cmd, node, args[0], "counter", &sharingpb.CounterAgreementRequest{Terms: terms})
			if err != nil {
				return err
			}
			return show(cmd, title(agreement)+" is signed by "+signers(agreement)+", and goes to the partner\n")
		},
	}
}

func newRenewCommand(node *target) *cobra.Command {
	request := &sharingpb.RenewAgreementRequest{}
	cmd := &cobra.Command{
		Use:   "renew ID [--until DAY]",
		Short: "Propose an agreement again with a later last day",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			agreement, err := act(cmd, node, args[0], "renew", request)
			if err != nil {
				return err
			}
			return show(cmd, fmt.Sprintf("%s, in force %s, is signed by %s; the partner has to sign it too\n",
				title(agreement), inForce(agreement.GetTerms()), signers(agreement)))
		},
	}
	cmd.Flags().StringVar(&request.ValidTo, "until", "", "the last `DAY`, such as 2027-12-31; without it: until terminated")
	return cmd
}

func newDeclineCommand(node *target) *cobra.Command {
	request := &sharingpb.DeclineAgreementRequest{}
	cmd := &cobra.Command{
		Use:   "decline ID --version N --reason TEXT",
		Short: "End a version that is proposed; what is in force stays",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			agreement, err := act(cmd, node, args[0], "decline", request)
			if err != nil {
				return err
			}
			return show(cmd, fmt.Sprintf("%s is %s\n", title(agreement), agreement.GetState()))
		},
	}
	cmd.Flags().Int32Var(&request.Version, "version", 0, "the version")
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the partner and the log")
	_ = cmd.MarkFlagRequired("version")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}
