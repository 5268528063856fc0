package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/comity-federation/comity/proto/mtls"
)

// checkListen refuses to serve plain HTTP anywhere but on loopback.
func checkListen(cfg Config) error {
	if (cfg.TLSCertificate == "") != (cfg.TLSKey == "") {
		return errors.New("COMITY_TLS_CERTIFICATE and COMITY_TLS_KEY go together: set both or none")
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return fmt.Errorf("COMITY_LISTEN is %q, which is not host:port", cfg.Listen)
	}
	if cfg.TLSCertificate == "" && !loopback(host) {
		return fmt.Errorf("COMITY_LISTEN is %q: plain HTTP is served on loopback only; for another address set COMITY_TLS_CERTIFICATE and COMITY_TLS_KEY", cfg.Listen)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// listen opens the port, with TLS where there is a certificate. The certificate is read again when its file changes.
func listen(ctx context.Context, cfg Config) (net.Listener, error) {
	var config *tls.Config
	if cfg.TLSCertificate != "" {
		pair, err := mtls.LoadPair(cfg.TLSCertificate, cfg.TLSKey)
		if err != nil {
			return nil, err
		}
		config = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{"h2", "http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.Current(), nil },
		}
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", cfg.Listen, err)
	}
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	return listener, nil
}
