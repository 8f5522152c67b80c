package main

import (
	"net"
	"strconv"

	service "github.com/cilium/cilium/pkg/clustermesh/store"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/ipcache"
	node "github.com/cilium/cilium/pkg/node/types"
	"github.com/cilium/cilium/pkg/source"
)

// agent stands where a Cilium agent's service cache, node manager, ipcache and identity users would: it gets what is left
// after Cilium decoded and validated a record.
type agent struct{ *lines }

func (a agent) MergeExternalServiceUpdate(s *service.ClusterService) {
	a.write(line{"service", "set", s.Namespace + "/" + s.Name, s})
}

func (a agent) MergeExternalServiceDelete(s *service.ClusterService) {
	a.write(line{"service", "delete", s.Namespace + "/" + s.Name, nil})
}

func (a agent) NodeUpdated(n node.Node) { a.write(line{"node", "set", n.Fullname(), n}) }
func (a agent) NodeDeleted(n node.Node) { a.write(line{"node", "delete", n.Fullname(), nil}) }

type address struct {
	Identity  uint32 `json:"identity"`
	Host      net.IP `json:"host"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
}

func (a agent) Upsert(ip string, host net.IP, _ uint8, pod *ipcache.K8sMetadata, id ipcache.Identity) (bool, error) {
	value := address{Identity: id.ID.Uint32(), Host: host}
	if pod != nil {
		value.Namespace, value.Pod = pod.Namespace, pod.PodName
	}
	a.write(line{"ip", "set", ip, value})
	return false, nil
}

func (a agent) Delete(ip string, _ source.Source) bool {
	a.write(line{"ip", "delete", ip, nil})
	return false
}

// Reserved identities are Cilium's own, the same everywhere.
func (a agent) UpdateIdentities(added, deleted identity.IdentityMap) <-chan struct{} {
	for id, labels := range added {
		if !id.IsReservedIdentity() {
			a.write(line{"identity", "set", strconv.FormatUint(uint64(id), 10), labels.GetModel()})
		}
	}
	for id := range deleted {
		a.write(line{"identity", "delete", strconv.FormatUint(uint64(id), 10), nil})
	}
	done := make(chan struct{})
	close(done)
	return done
}

func (agent) GetNodeSuffix() string { return "meshwatch" }

// Feature metrics, which nobody reads here.
func (agent) AddClusterMeshConfig(string, string) {}
func (agent) DelClusterMeshConfig(string, string) {}
