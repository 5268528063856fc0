package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/internal/region"
)

// defaultBasePort is the port of PostgreSQL; those of the states follow, ten apart.
const defaultBasePort = 8400

// sandbox is a region that runs on this machine, in a directory that holds
//
//	region.json      who answers where, for other programs; only while it runs
//	trust.json       the trust list, the same for all states
//	officers/        the keys of the two officers who sign it
//	settings.json    which region it is, and its ports
//	agreements.json  the agreements that the sandbox made
//	pg/              PostgreSQL
//	{state}/         a state's secrets (see authority), its processes' numbers in run/ and what they say in logs/
type sandbox struct {
	directory string // absolute
	settings  settings
	region    *region.Region
	binaries  string // the directory of the executables
	policies  string // the shared policies
	progress  progress

	postgres *pgcluster.Cluster
	nodes    []*sandboxNode
	started  []process // by this command
}

// settings is what a sandbox keeps of the flags it was first brought up with.
type settings struct {
	Region   string `json:"region"` // absolute; empty: the one that comes with the program
	BasePort int    `json:"basePort"`
	Policies string `json:"policies"` // absolute; empty: those that come with the program
}

// sandboxFlags are the flags of the sandbox commands.
type sandboxFlags struct {
	directory  string
	region     string
	basePort   int
	policies   string
	deploy     string
	once       bool
	foreground bool
}

func newSandboxCommand() *cobra.Command {
	f := &sandboxFlags{}
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Run a region of states on this machine",
		Long: `Run a region of states on this machine: a PostgreSQL of its own, and four processes for each state. What the states
know, hold and agreed upon is described by a directory (see region.yaml in it).`,
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&f.directory, "dir", ".comity", "the `DIRECTORY` that the sandbox lives in")
	cmd.PersistentFlags().StringVar(&f.policies, "policies", "", "the `DIRECTORY` of the shared policies (default policies/ beside bin/)")
	cmd.PersistentFlags().StringVar(&f.deploy, "deploy", "", "the `DIRECTORY` of the regions that come with the program (default deploy/ beside bin/)")
	cmd.AddCommand(newUpCommand(f), newReloadCommand(f), newDownCommand(f), newStatusCommand(f), newWatchCommand(f))
	return cmd
}

func newUpCommand(f *sandboxFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the region, feed it, and wait for the first exchange",
		Long: `Start the region, feed it as its agencies would, sign its agreements, and wait until what was agreed has arrived. On a
running sandbox it does what is missing: it starts processes that died, and applies what changed in the region's
directory. The processes stay when the command ends.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSandbox(cmd, f, func(ctx context.Context, s *sandbox) error {
				if f.once {
					return s.once(ctx)
				}
				return s.upAndStay(ctx, f.foreground)
			})
		},
	}
	cmd.Flags().StringVar(&f.region, "region", "", "the `DIRECTORY` that describes the region (default deploy/sandbox beside bin/)")
	cmd.Flags().IntVar(&f.basePort, "base-port", 0, fmt.Sprintf("the `PORT` of PostgreSQL; those of the states follow, ten apart (default %d)", defaultBasePort))
	cmd.Flags().BoolVar(&f.once, "once", false, "end everything again after the first exchange")
	cmd.Flags().BoolVar(&f.foreground, "foreground", false, "stay, and end everything on Ctrl-C")
	cmd.MarkFlagsMutuallyExclusive("once", "foreground")
	return cmd
}

func newReloadCommand(f *sandboxFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Apply what changed in the region's directory to the running nodes",
		Long: `Apply what changed in the region's directory to the running nodes: structures, layouts, files, agreements, policies.
An agreement with changed terms becomes its next version, one whose file is gone is terminated.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSandbox(cmd, f, func(ctx context.Context, s *sandbox) error {
				if !s.running() {
					return fmt.Errorf("no sandbox runs in %s: `comity sandbox up` starts one", f.directory)
				}
				return s.upAndStay(ctx, false)
			})
		},
	}
}

func newDownCommand(f *sandboxFlags) *cobra.Command {
	remove := false
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End everything that runs; the data stay, unless --remove",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			directory, err := filepath.Abs(f.directory)
			if err != nil {
				return err
			}
			if _, err := os.Stat(directory); errors.Is(err, os.ErrNotExist) {
				return show(cmd, "nothing runs: there is no "+f.directory+"\n")
			}
			unlock, err := lockDirectory(directory)
			if err != nil {
				return err
			}
			defer unlock()
			n, err := down(directory)
			if err != nil {
				return err
			}
			text := fmt.Sprintf("%d processes ended, nothing runs any more\n", n)
			if n == 0 {
				text = "nothing runs in " + f.directory + "\n"
			}
			if remove {
				if err := removeData(directory); err != nil {
					return fmt.Errorf("removing the sandbox: %w", err)
				}
				text += "its data are removed\n"
			}
			return show(cmd, text)
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "also remove the sandbox with its keys and data")
	return cmd
}

// removeData removes a sandbox that does not run. PostgreSQL's part may lie elsewhere. What is not the sandbox's stays.
func removeData(directory string) error {
	if err := pgcluster.Remove(filepath.Join(directory, "pg")); err != nil {
		return err
	}
	signs, err := filepath.Glob(filepath.Join(directory, "*", "signing.key"))
	if err != nil {
		return err
	}
	for _, sign := range signs { // a directory with one is a state's
		if err := os.RemoveAll(filepath.Dir(sign)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(filepath.Join(directory, "officers")); err != nil {
		return err
	}
	for _, name := range []string{"trust.json", "trust.json.next", "settings.json", "agreements.json", "lock"} {
		if err := os.Remove(filepath.Join(directory, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(directory); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	return nil
}

// withSandbox opens the sandbox that the flags name, for this command alone.
func withSandbox(cmd *cobra.Command, f *sandboxFlags, do func(context.Context, *sandbox) error) error {
	directory, err := filepath.Abs(f.directory)
	if err != nil {
		return err
	}
	// PostgreSQL, which may run as another user, passes through; each state's own directory is closed.
	if err := os.MkdirAll(directory, 0o755); err != nil { //nolint:gosec // see above
		return fmt.Errorf("making the sandbox's directory: %w", err)
	}
	unlock, err := lockDirectory(directory)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := openSandbox(directory, f, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	return do(cmd.Context(), s)
}

func openSandbox(directory string, f *sandboxFlags, out io.Writer) (*sandbox, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if executable, err = filepath.EvalSymlinks(executable); err != nil {
		return nil, err
	}
	s := &sandbox{
		directory: directory,
		binaries:  filepath.Dir(executable),
		progress:  progress{out: out, begin: time.Now()},
	}
	beside := filepath.Dir(s.binaries)
	if err := s.readSettings(f); err != nil {
		return nil, err
	}
	if s.policies, err = directoryOr(s.settings.Policies, filepath.Join(beside, "policies"), "--policies"); err != nil {
		return nil, err
	}
	described := s.settings.Region
	if described == "" {
		deploy, err := directoryOr(f.deploy, filepath.Join(beside, "deploy"), "--deploy")
		if err != nil {
			return nil, err
		}
		described = filepath.Join(deploy, "sandbox")
	}
	if s.region, err = region.Load(described); err != nil {
		return nil, err
	}
	if last := s.settings.BasePort + 10*len(s.region.States); s.settings.BasePort < 1 || last > 65535 {
		return nil, fmt.Errorf("--base-port %d: the ports up to %d are needed, and must lie between 1 and 65535", s.settings.BasePort, last)
	}
	return s, nil
}

// directoryOr returns the directory of a flag, or else the default, which must exist.
func directoryOr(given, otherwise, flag string) (string, error) {
	directory := given
	if directory == "" {
		directory = otherwise
	}
	directory, err := filepath.Abs(directory)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(directory); err != nil || !info.IsDir() {
		return "", fmt.Errorf("there is no directory %s: name it with %s", directory, flag)
	}
	return filepath.EvalSymlinks(directory)
}

// readSettings takes the flags where they are given, and else what the sandbox was brought up with before.
func (s *sandbox) readSettings(f *sandboxFlags) error {
	text, err := os.ReadFile(s.path("settings.json"))
	known := err == nil
	switch {
	case known:
		if err := json.Unmarshal(text, &s.settings); err != nil {
			return fmt.Errorf("reading %s: %w", s.path("settings.json"), err)
		}
	case errors.Is(err, os.ErrNotExist):
		s.settings.BasePort = defaultBasePort
	default:
		return err
	}
	if f.basePort != 0 {
		s.settings.BasePort = f.basePort
	}
	if f.policies != "" {
		if s.settings.Policies, err = filepath.Abs(f.policies); err != nil {
			return err
		}
	}
	if f.region == "" {
		return nil
	}
	wanted, err := filepath.Abs(f.region)
	if err != nil {
		return err
	}
	if known && wanted != s.settings.Region {
		return fmt.Errorf("%s holds another region (%s): give this one a --dir of its own, or remove that directory", f.directory, s.settings.regionName())
	}
	s.settings.Region = wanted
	return nil
}

func (s settings) regionName() string {
	if s.Region == "" {
		return "the one that comes with the program"
	}
	return s.Region
}

// lockDirectory holds a sandbox's directory for this process, until the returned function is called or it ends.
func lockDirectory(directory string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(directory, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another `comity sandbox` is at work in %s: wait for it to end", directory), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

func (s *sandbox) path(names ...string) string {
	return filepath.Join(append([]string{s.directory}, names...)...)
}

// writeJSON puts a file in place whole.
func (s *sandbox) writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.path(name), append(text, '\n'), 0o644)
}
