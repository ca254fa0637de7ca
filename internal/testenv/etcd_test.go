package testenv

import "testing"

func TestEtcdClusterSurvivesANode(t *testing.T) {
	t.Parallel()
	c := Etcd(t, 3)
	leader := c.Leader(t)
	c.Node(leader).Kill(t)
	if next := c.Leader(t); next == leader {
		t.Errorf("node %d leads after it was killed", next)
	}
	c.AwaitHealthy(t)
	c.Node(leader).Start(t)
	c.AwaitHealthy(t)
	c.Node(leader).Freeze(t)
	c.Node(leader).Thaw(t)
	c.AwaitHealthy(t)
}

func TestEtcdDemandsACertificate(t *testing.T) {
	t.Parallel()
	c := Etcd(t, 1, WithEtcdTLS())
	c.web.Transport = nil
	if _, err := c.get(c.Node(0).Endpoint() + "/health"); err == nil {
		t.Error("etcd answers without a certificate")
	}
}
