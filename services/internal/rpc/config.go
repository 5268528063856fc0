package rpc

import "path/filepath"

// Config is what every service needs to know of its place. It is embedded in each main's own Config.
type Config struct {
	State       string `env:"COMITY_STATE,required,notEmpty"`       // the code of this state, for example "us"
	Listen      string `env:"COMITY_LISTEN,required,notEmpty"`      // where gRPC answers, "host:port"
	OpsListen   string `env:"COMITY_OPS_LISTEN,required,notEmpty"`  // where /metrics, /healthz and /readyz answer, plain HTTP on loopback
	Certificate string `env:"COMITY_CERTIFICATE,required,notEmpty"` // PEM file: this process's certificate, then its intermediates
	Key         string `env:"COMITY_KEY,required,notEmpty"`         // PEM file: the certificate's private key
	Root        string `env:"COMITY_ROOT,required,notEmpty"`        // PEM file: this state's own roots
	Policies    string `env:"COMITY_POLICIES,required,notEmpty"`    // directories separated by ":"; the first is shared, the others are this state's
	JWKS        string `env:"COMITY_JWKS,required,notEmpty"`        // JSON Web Key Set file of the token issuer
	Issuer      string `env:"COMITY_ISSUER,required,notEmpty"`      // the issuer that tokens must name
	Audience    string `env:"COMITY_AUDIENCE,required,notEmpty"`    // the audience that tokens must name
}

// PolicyDirectories returns the directories that Policies lists, in order.
func (c Config) PolicyDirectories() []string { return filepath.SplitList(c.Policies) }
