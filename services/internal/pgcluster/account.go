package pgcluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// sharedRoot holds the clusters whose wanted place the server's account cannot reach.
const sharedRoot = "/var/lib/comity"

// account is the user that the server runs as. PostgreSQL refuses to run as root.
type account struct {
	uid, gid uint32
	other    bool // it is not the user of this process
}

// serverAccount returns the user of this process, or "postgres" where that is root.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return account{}, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres to run it as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, err
	}
	return account{uid: uint32(uid), gid: uint32(gid), other: true}, nil
}

// attributes returns what a process of the account is started with, in a session of its own.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a.other {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// own gives a file or directory to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

// reaches reports whether the account can enter dir.
func (a account) reaches(ctx context.Context, dir string) bool {
	if !a.other {
		return true
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `cd "$1"`, "sh", dir) //nolint:gosec // dir is an argument, not code
	cmd.Dir = "/"
	cmd.SysProcAttr = a.attributes()
	return cmd.Run() == nil
}

// settle returns the directory that the cluster of the wanted path really lies in, made and owned. It is the wanted
// path itself, or one in sharedRoot, with a link to it, where the account cannot enter the wanted path.
func (a account) settle(ctx context.Context, wanted string) (string, error) {
	if place, err := filepath.EvalSymlinks(wanted); err == nil {
		return place, nil
	}
	if err := os.Remove(wanted); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err // a link to nowhere is replaced
	}
	parent := filepath.Dir(wanted)
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // no secret lies in it
		return "", err
	}
	if a.reaches(ctx, parent) {
		return wanted, a.claim(wanted)
	}
	sum := sha256.Sum256([]byte(wanted))
	place := filepath.Join(sharedRoot, hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(sharedRoot, 0o755); err != nil { //nolint:gosec // the server's account passes through it
		return "", err
	}
	// What lies there already belonged to a directory of this name that is gone.
	if err := discard(place); err != nil {
		return "", err
	}
	if err := a.claim(place); err != nil {
		return "", err
	}
	return place, os.Symlink(place, wanted)
}

// claim makes the directory, for the account alone.
func (a account) claim(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return a.own(dir)
}
