package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// A secret file may be named as a credential of systemd (systemd.exec(5),
// "Credentials"), which finds it where the service manager has put it.
const (
	credentialScheme = "credential:"

	// credentialPrefix is what systemd puts in front of the names of files in
	// credentialFolder, by LoadCredential=lockstep:… of the unit.
	credentialPrefix = "lockstep_"
	credentialFolder = "credentials" // beside the configuration
)

// runningCredentials is where those of the running service are, for root.
var runningCredentials = "/run/credentials/lockstep.service"

// secretPath returns the path of the secret file that a setting names. Errors do
// not quote the name: it may be the secret itself.
func (d *document) secretPath(path string) (string, error) {
	name, ok := strings.CutPrefix(path, credentialScheme)
	if !ok {
		return d.absolute(path), nil
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 255 {
		return "", errors.New(`want the name of one, such as "credential:lockstep_vpn.secret"`)
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		return filepath.Join(dir, name), nil
	}
	return d.credentialOutside(name)
}

// credentialOutside returns where a credential is to a command outside of the
// service: what the running one has, or else what it would be given.
func (d *document) credentialOutside(name string) (string, error) {
	running := filepath.Join(runningCredentials, name)
	if _, err := os.Stat(running); err == nil {
		return running, nil
	}
	if file, ok := strings.CutPrefix(name, credentialPrefix); ok && file != "" && file != "." && file != ".." {
		return filepath.Join(d.dir, credentialFolder, file), nil
	}
	return "", errors.New("it is there while lockstep.service runs, and for root; or put a file into the folder \"credentials\" beside the configuration and write credential:lockstep_FILE")
}
