package testenv

import (
	"bufio"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"os/exec"
	"testing"
)

// LoadedPassword is the password of everybody whom [SlapdServer.Load] enrols.
const LoadedPassword = "the password of all"

// LoadedUser is the login name, and uid, of person i of [SlapdServer.Load].
func LoadedUser(i int) string { return fmt.Sprintf("u%07d", i) }

// LoadedKey is the key of person i of [SlapdServer.Load]: 20 octets.
func LoadedKey(i int) []byte {
	sum := sha1.Sum(fmt.Appendf(nil, "key of %d", i))
	return sum[:]
}

// Load enrols n people, 0 to n-1, while the server is down for a moment. Their
// oathSecret is LoadedKey in base32. A million take half a minute and 900 MB of disk.
func (s *SlapdServer) Load(t testing.TB, n int) {
	t.Helper()
	s.LoadLDIF(t, func(w io.Writer) error { return loaded(w, n, s.PeopleDN) })
}

// loaded writes the entries of n people.
func loaded(w io.Writer, n int, parent string) error {
	const salt = "salt"
	sum := sha1.Sum([]byte(LoadedPassword + salt))
	password := "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
	for i := range n {
		_, err := fmt.Fprintf(w, "dn: uid=%[1]s,%[2]s\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\n"+
			"userPassword: %[3]s\noathSecret: %[4]s\n\n", LoadedUser(i), parent, password, base32.StdEncoding.EncodeToString(LoadedKey(i)))
		if err != nil {
			return err
		}
	}
	return nil
}

// LoadLDIF stops the server, has slapadd read the entries that write writes,
// and starts it again. It is the way for what would take too long by Add.
func (s *SlapdServer) LoadLDIF(t testing.TB, write func(io.Writer) error) {
	t.Helper()
	s.Stop(t)
	arguments := []string{"-q", "-f", s.conf(), "-b", s.BaseDN}
	if s.options.syncprov {
		// Or the server looks through all entries for its newest change when it starts.
		arguments = append(arguments, "-w")
	}
	cmd := exec.CommandContext(t.Context(), Tool(t, "slapadd"), arguments...)
	var complaints Buffer
	cmd.Stdout, cmd.Stderr = &complaints, &complaints
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(pipe, 1<<16)
	wrote := write(w)
	if wrote == nil {
		wrote = w.Flush()
	}
	pipe.Close()
	if err := cmd.Wait(); err != nil || wrote != nil {
		t.Fatalf("slapadd: %v, write: %v\n%s", err, wrote, &complaints)
	}
	s.Start(t)
}
