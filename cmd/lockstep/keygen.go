package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"lockstep/config"
	"lockstep/ldapsync/sealed"
)

const keygenUsage = `keygen -out FILE
    lockstep keygen -public FILE

Makes the private key that opens sealed keys, and prints its public key, which is
all that enrolment needs. FILE must not exist. It is for the server alone: keep a
copy where nobody else gets at it, because without it everybody has to be enrolled
again. A file may hold several private keys, the newest first.
`

func (a *app) keygen(args []string) error {
	flags := a.flags("keygen", keygenUsage)
	out := flags.String("out", "", "write a new private key to `FILE`")
	from := flags.String("public", "", "print the public keys of the private keys in `FILE`")
	if err := a.parse(flags, args, 0); err != nil {
		return err
	}
	switch {
	case *out != "" && *from == "":
		return a.newPrivateKey(*out)
	case *out == "" && *from != "":
		return a.publicKeys(*from)
	}
	return usagef("keygen: want -out FILE for a new private key, or -public FILE for the public keys of a file")
}

func (a *app) newPrivateKey(path string) error {
	key, err := sealed.Generate()
	if err != nil {
		return fmt.Errorf("keygen: %w", err)
	}
	file, err := key.Marshal(time.Now())
	if err != nil {
		return fmt.Errorf("keygen: %w", err)
	}
	err = writeNew(path, file.Reveal())
	if errors.Is(err, fs.ErrExist) {
		return &failure{status: statusNo, err: fmt.Errorf("keygen: %q exists, and is left as it is", path),
			hint: "to change keys, write the new one to a file of its own, and put that before the old one's text"}
	}
	if err != nil {
		return fmt.Errorf("keygen: %w", err)
	}
	fmt.Fprintf(a.err, "lockstep: private key written to %s\n", printable(path))
	_, err = fmt.Fprintln(a.out, key.Public())
	return err
}

func (a *app) publicKeys(path string) error {
	file, err := config.ReadSecret(path)
	if err != nil {
		return &failure{status: statusUsage, err: fmt.Errorf("keygen: %w", err)}
	}
	keys, err := sealed.ParsePrivate(file.Reveal())
	if err != nil {
		return &failure{status: statusUsage, err: fmt.Errorf("keygen: %q: %w", path, err)}
	}
	for _, k := range keys {
		if _, err := fmt.Fprintln(a.out, k.Public()); err != nil {
			return err
		}
	}
	return nil
}

// writeNew makes a file that only its owner can read, and that is on disk when it
// returns. It never writes to one that exists, nor through a link.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close(), syncDirectory(filepath.Dir(path))); err != nil {
		// Or a part of a key would look like one.
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
