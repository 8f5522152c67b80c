import { createCa, issueCertificate, signerOf } from '../../../agent/pki/issue.ts'
import type { Pair, Signer } from '../../../agent/pki/issue.ts'
import type { CertificateRequest } from '../../../agent/pki/kinds.ts'
import { profileOf } from '../../../agent/pki/kinds.ts'
import type { JoinFacts } from '../../../agent/peering/join-file.ts'
import type { EndpointProbe } from '../../../agent/peering/probe.ts'

export const NOW = new Date('2026-11-20T08:00:00Z')
export const ENDPOINT = 'https://east.mesh.cilium.io:32379'

export async function makeCa(name = 'east CA'): Promise<Signer> {
  return signerOf(await createCa({ name, now: NOW }))
}

export function issue(ca: Signer, request: CertificateRequest): Promise<Pair> {
  return issueCertificate({ ca, profile: profileOf(request), now: NOW })
}

export function factsOf(ca: Signer, more: Partial<JoinFacts> = {}): JoinFacts {
  return {
    createdAt: NOW.toISOString(),
    expiresAt: new Date(NOW.getTime() + 86_400_000).toISOString(),
    cluster: { name: 'east', id: 2 },
    endpoints: [ENDPOINT],
    podCidrs: ['10.1.0.0/16'],
    serviceCidrs: ['10.3.0.0/16'],
    maxConnectedClusters: 255,
    mtu: 1500,
    version: '0.1.0',
    caCertificates: [ca.certificate.pem],
    ...more,
  }
}

export function probe(more: Partial<EndpointProbe> = {}): EndpointProbe {
  return {
    endpoint: ENDPOINT,
    host: 'east.mesh.cilium.io',
    port: 32379,
    addresses: ['172.18.0.4'],
    dnsError: undefined,
    tcp: { address: '172.18.0.4' },
    tls: { protocol: 'TLS 1.3', cipher: 'TLS_AES_128_GCM_SHA256' },
    version: { etcd: '3.5.21' },
    skewMs: 200,
    ...more,
  }
}
