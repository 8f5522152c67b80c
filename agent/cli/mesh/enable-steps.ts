import type { EtcdAddress, ServiceType } from './service-objects.ts'

/** What is known of a cluster that is to be, or to be no more, in a mesh. */
export interface MeshSetup {
  readonly cluster: { readonly name: string; readonly id: number }
  readonly etcd: readonly EtcdAddress[]
  /** An exporter answers here; `tls`: and its etcd wants certificates. */
  readonly exporter: { readonly tls: boolean } | undefined
  readonly pki: string
  /** Files of the directory of certificates, without `.crt`. */
  readonly certificates: readonly string[]
}

export interface Step {
  readonly text: string
  readonly commands?: readonly string[]
}

/** What is left to do, in order. Programs are started by whoever starts programs here: none is started by a command. */
export function enableSteps(
  setup: MeshSetup,
  wish: { readonly type: ServiceType; readonly nodePort: number; readonly kvstoremesh: boolean },
): Step[] {
  const { cluster, etcd, exporter, pki } = setup
  const tls = exporter?.tls !== false
  const first = etcd[0]?.address ?? 'ADDRESS'
  const steps: Step[] = []
  if (tls) steps.push(...certificateSteps(setup, first))
  if (exporter === undefined) {
    const files = `--etcd-ca-file ${pki}/ca.crt --etcd-cert-file ${pki}/admin-${cluster.name}.crt --etcd-key-file ${pki}/admin-${cluster.name}.key`
    const who = `--cluster-name ${cluster.name} --cluster-id ${cluster.id} --etcd-endpoints https://${first}:2379 ${files}`
    steps.push({
      text: `start etcd on ${first} with server.crt and --client-cert-auth, and beside it the exporter`,
      commands: [`weft clustermesh-apiserver ${who}`],
    })
  }
  if (wish.kvstoremesh) {
    steps.push({
      text: 'start "weft kvstoremesh" too, or say --enable-kvstoremesh=false: agents then read other clusters themselves',
    })
  }
  steps.push({
    text: 'apply the objects above ("kubectl apply -f -"), or write them into the directory of manifests of every node',
  })
  const port = wish.type === 'NodePort' ? wish.nodePort : (etcd[0]?.port ?? 2379)
  const host = wish.type === 'LoadBalancer' ? 'BALANCER' : first
  const endpoint = `${tls ? 'https' : 'http'}://${host}:${port}`
  steps.push({
    text: 'tell the other clusters, and connect with what they tell',
    commands: [
      `weft clustermesh export-join --endpoint ${endpoint} --service-cidr PREFIX -f ${cluster.name}.join`,
      'weft clustermesh connect OTHER.join --trust FINGERPRINT',
    ],
  })
  return steps
}

function certificateSteps({ cluster, pki, certificates }: MeshSetup, address: string): Step[] {
  const wanted: readonly (readonly [file: string, command: string])[] = [
    ['ca', `weft clustermesh ca init ${pki}`],
    ['server', `weft clustermesh ca issue server -d ${pki} --ip ${address}`],
    [`admin-${cluster.name}`, `weft clustermesh ca issue admin -d ${pki} --cluster ${cluster.name}`],
    ['remote', `weft clustermesh ca issue remote -d ${pki}`],
  ]
  const commands = wanted.filter(([file]) => !certificates.includes(file)).map(([, command]) => command)
  return commands.length === 0 ? [] : [{ text: `make the certificates that are not in ${pki}`, commands }]
}

export function disableSteps(members: readonly string[]): Step[] {
  return [
    ...(members.length === 0
      ? []
      : [
          {
            text: 'leave the clusters that are connected; do it on their side, too',
            commands: members.map((name) => `weft clustermesh disconnect ${name}`),
          },
        ]),
    { text: 'stop clustermesh-apiserver, kvstoremesh and their etcd: what was exported ends with its leases' },
    { text: 'delete the objects above ("kubectl delete -f -"), or their files from the directories of manifests' },
  ]
}

export function renderSteps(steps: readonly Step[]): string {
  const lines = steps.flatMap(({ text, commands = [] }, index) => [
    `💡 ${index + 1}. ${text}${commands.length > 0 ? ':' : ''}`,
    ...commands.map((command) => `      ${command}`),
  ])
  return lines.map((line) => `${line}\n`).join('')
}
