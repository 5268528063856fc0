package pgcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// OldestVersion is the oldest major version of PostgreSQL that serves.
const OldestVersion = 15

// ErrNoPostgreSQL says that the server's programs are not on this machine.
var ErrNoPostgreSQL = errors.New("no PostgreSQL server was found: install the package postgresql " +
	"(version 15 or later), or set COMITY_POSTGRES to the directory that holds initdb and postgres")

// Binaries returns the directory that holds initdb and postgres: the one that COMITY_POSTGRES names, else the newest
// version under /usr/lib/postgresql, as Debian has it, else the one on the PATH.
func Binaries(ctx context.Context) (string, error) {
	if dir := os.Getenv("COMITY_POSTGRES"); dir != "" {
		if _, err := version(ctx, dir); err != nil {
			return "", fmt.Errorf("COMITY_POSTGRES: %w", err)
		}
		return dir, nil
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	if found, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(found))
	}
	newest, best := 0, ""
	for _, dir := range slices.Compact(dirs) {
		if major, err := version(ctx, dir); err == nil && major >= OldestVersion && major > newest {
			newest, best = major, dir
		}
	}
	if best == "" {
		return "", ErrNoPostgreSQL
	}
	return best, nil
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// version returns the major version of the programs in dir, both of which must be there.
func version(ctx context.Context, dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output() //nolint:gosec // the operator names the directory
	if err != nil {
		return 0, fmt.Errorf("asking postgres for its version: %w", err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("%s is not PostgreSQL: it says %q", dir, out)
	}
	return strconv.Atoi(string(match[1]))
}
