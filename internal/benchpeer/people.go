package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"lockstep/internal/opaque"
	"lockstep/verifier"
)

// What everybody has in common. None of it is secret: the servers listen on
// loopback, for made-up people, for minutes.
const (
	baseDN          = "dc=example,dc=org"
	peopleDN        = "ou=people," + baseDN
	serviceDN       = "cn=service," + baseDN
	servicePassword = "the password of the service"
	userPassword    = "correct horse battery"
	sharedSecret    = "a shared secret for benchmarks"
	period          = 30 * time.Second
	maxUsers        = 2_000_000
)

func userName(i int) string { return fmt.Sprintf("u%07d", i) }

func userKey(i int) []byte {
	sum := sha1.Sum(fmt.Append(nil, "key of ", i))
	return sum[:]
}

// code returns the digits of person i for a step.
func code(i int, step int64) (string, error) {
	key := verifier.Key{Bytes: opaque.Of(userKey(i)), Algorithm: verifier.SHA1, Digits: 6, Period: period}
	return key.Code(step)
}

// stepAt is the time step (RFC 6238, section 4.2).
func stepAt(t time.Time) int64 { return t.Unix() / int64(period/time.Second) }

// writeLDIF writes the directory: its root, the service account, and n people.
func writeLDIF(to io.Writer, n int) error {
	w := bufio.NewWriterSize(to, 1<<16)
	fmt.Fprintf(w, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: Example\n\n", baseDN)
	fmt.Fprintf(w, "dn: %s\nobjectClass: organizationalUnit\n\n", peopleDN)
	fmt.Fprintf(w, "dn: %s\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\nuserPassword: %s\n\n",
		serviceDN, ssha(servicePassword))
	hash := ssha(userPassword)
	for i := range n {
		fmt.Fprintf(w, "dn: uid=%[1]s,%[2]s\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPToken\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\n"+
			"userPassword: %[3]s\noathSecret: %[4]s\n\n", userName(i), peopleDN, hash, base32.StdEncoding.EncodeToString(userKey(i)))
	}
	return w.Flush()
}

// ssha hashes a password cheaply, so that it is the servers that are measured.
func ssha(password string) string {
	const salt = "salt"
	sum := sha1.Sum([]byte(password + salt))
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

// scattered returns the i-th person of an order in which each of n comes once
// before the first comes again, and neighbours lie far apart.
func scattered(i, n int) int {
	const prime = 7_368_787 // over maxUsers, so that it has no factor in common with any n
	return int(int64(i) * prime % int64(n))
}
