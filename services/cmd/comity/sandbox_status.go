package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/internal/pgcluster"
)

// errUnhealthy ends a status that shows something which does not run.
var errUnhealthy = errors.New("not everything is well; `comity sandbox up` starts what is missing")

func newStatusCommand(f *sandboxFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show which processes run, and whether they are well",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			directory, err := filepath.Abs(f.directory)
			if err != nil {
				return err
			}
			file, err := readRegionFile(directory)
			if err != nil {
				return err
			}
			cluster, err := pgcluster.Find(filepath.Join(directory, "pg"))
			if err != nil {
				return err
			}
			if file == nil && cluster == nil {
				return show(cmd, "nothing runs in "+f.directory+"\n")
			}
			return printStatus(cmd, directory, file, cluster)
		},
	}
}

func printStatus(cmd *cobra.Command, directory string, file *regionFile, cluster *pgcluster.Cluster) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	well := cluster != nil && file != nil
	row(table, "STATE", "PROCESS", "PID", "PORT", "HEALTH")
	if cluster != nil {
		row(table, "–", "postgresql", cluster.PID, cluster.Port, "ready")
	} else {
		row(table, "–", "postgresql", "–", "–", "does not run")
	}
	if file != nil {
		for _, state := range file.States {
			for _, service := range append(storing(), "gateway") {
				p := process{state: state.Code, service: service, directory: filepath.Join(directory, state.Code)}
				address := map[string]string{
					"statistics": state.Statistics, "risk": state.Risk, "sharing": state.Sharing,
					"gateway": strings.TrimPrefix(state.Gateway, "http://"),
				}[service]
				pid, health := "–", "does not run"
				if n := p.pid(); n != 0 {
					pid, health = fmt.Sprint(n), "ready"
					ready := strings.TrimSuffix(state.Metrics[service], "/metrics") + "/readyz"
					if answer, err := probe(cmd.Context(), ready); err != nil {
						health = "not ready: " + strings.Join(append([]string{err.Error()}, strings.Split(answer, "\n")...), "; ")
					}
				}
				well = well && health == "ready"
				row(table, state.Code, service, pid, address[strings.LastIndex(address, ":")+1:], health)
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !well {
		return errUnhealthy
	}
	return nil
}
