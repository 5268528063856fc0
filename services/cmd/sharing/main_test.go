package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestHangupReloadsAndDoesNotEndTheProcess(t *testing.T) {
	reloaded := make(chan struct{}, 8)
	stop := onHangup(func() { reloaded <- struct{}{} })
	defer stop()
	for range 2 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-reloaded:
		case <-time.After(time.Minute):
			t.Fatal("nothing is reloaded")
		}
	}
}
