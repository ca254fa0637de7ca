// Package etcd keeps the State of TOTP keys in an etcd cluster.
package etcd

import _ "go.etcd.io/etcd/client/v3"
