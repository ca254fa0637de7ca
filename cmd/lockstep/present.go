package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"lockstep/internal/qr"
	"lockstep/verifier"
)

// present prints the key in the three forms that authenticators take.
func present(w io.Writer, name string, key verifier.Key, issuer string) error {
	uri, err := provisioningURI(name, key, issuer)
	if err != nil {
		return err
	}
	colour := qr.Plain
	if isTerminal(w) {
		colour = qr.ANSI
	}
	if err := qr.Write(w, uri.String(), colour); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\nkey: %s\n", uri, grouped(uri.Secret()))
	return err
}

func provisioningURI(name string, key verifier.Key, issuer string) (*otp.Key, error) {
	algorithms := map[verifier.Algorithm]otp.Algorithm{
		verifier.SHA1: otp.AlgorithmSHA1, verifier.SHA256: otp.AlgorithmSHA256, verifier.SHA512: otp.AlgorithmSHA512,
	}
	uri, err := totp.Generate(totp.GenerateOpts{
		Issuer:      issuer,
		AccountName: name,
		Period:      uint(key.Period / time.Second),
		Secret:      key.Bytes.Reveal(),
		Digits:      otp.Digits(key.Digits),
		Algorithm:   algorithms[key.Algorithm],
	})
	if err != nil {
		return nil, fmt.Errorf("make the provisioning URI: %w", err)
	}
	return uri, nil
}

// grouped returns s in groups of four, to be typed by hand.
func grouped(s string) string {
	var groups []string
	for len(s) > 4 {
		groups, s = append(groups, s[:4]), s[4:]
	}
	return strings.Join(append(groups, s), " ")
}
