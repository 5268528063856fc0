package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// watchEvery is how often the nodes are asked what has come.
const watchEvery = time.Second

func newWatchCommand(f *sandboxFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "watch",
		Short: "Show what arrives from the other states, as it comes",
		Long: `Show the batches that arrive at each state of the running sandbox, as they come and as they are stored, until Ctrl-C. What
came before is not shown.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			directory, err := filepath.Abs(f.directory)
			if err != nil {
				return err
			}
			file, err := readRegionFile(directory)
			if err != nil {
				return err
			}
			if file == nil {
				return fmt.Errorf("no sandbox runs in %s: `comity sandbox up` starts one", f.directory)
			}
			receivers := map[string]*client{}
			for _, state := range file.States {
				if receivers[state.Code], err = newClient(state.Gateway, filepath.Join(directory, state.Tokens["officer"]), "officer"); err != nil {
					return err
				}
			}
			return watch(cmd, receivers)
		},
	}
}

// watch shows what arrives at each state, until the command is interrupted.
func watch(cmd *cobra.Command, receivers map[string]*client) error {
	ctx := cmd.Context()
	seen := map[string]sharingpb.Delivery_State{} // by state and place
	for first := true; ; first = false {
		for code, officer := range receivers {
			arrived, err := newestArrived(ctx, officer)
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was interrupted
			}
			if err != nil {
				return fmt.Errorf("asking %s: %w", code, err)
			}
			for _, d := range arrived {
				place := fmt.Sprintf("%s %s/%s/%.0f", code, d.GetStream(), d.GetEpoch(), d.GetSequence())
				before, known := seen[place]
				if seen[place] = d.GetState(); first || known && before == d.GetState() {
					continue
				}
				if err := show(cmd, arrival(code, d)); err != nil {
					return err
				}
			}
		}
		if err := pause(ctx, watchEvery); err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
	}
}

// newestArrived returns the newest deliveries to a node, the oldest first.
func newestArrived(ctx context.Context, officer *client) ([]*sharingpb.Delivery, error) {
	page := &sharingpb.ListDeliveriesResponse{}
	if err := officer.get(ctx, "/v1/deliveries", url.Values{"pageSize": {"200"}}, page); err != nil {
		return nil, err
	}
	arrived := slices.DeleteFunc(page.GetDeliveries(), func(d *sharingpb.Delivery) bool { return d.GetDirection() != sharingpb.Direction_RECEIVED })
	slices.Reverse(arrived)
	return arrived, nil
}

// arrival is the line about a delivery.
func arrival(code string, d *sharingpb.Delivery) string {
	line := fmt.Sprintf("%s  %s → %s  %s  batch %.0f, %s cells  %s", time.Now().Format(time.TimeOnly), d.GetPartner(), code,
		d.GetAgreement(), d.GetSequence(), grouped(d.GetCells()), strings.ToLower(d.GetState().String()))
	if d.GetReason() != "" {
		line += ": " + d.GetReason()
	}
	return line + "\n"
}
