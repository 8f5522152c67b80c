import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import path from 'node:path'
import type { Lane } from './lanes.ts'
import { enterNetns } from '../../native/index.ts'
import { configure, netns } from './lanes.ts'
import { KUBERNETES, Program } from './peers.ts'

const CONTROL = 'control'
const TOKEN = 'bench'
const ETCD = 'http://127.0.0.1:2379'
const AT_ONCE = 16
/** Services, not for those who count them: the API server's own is there, too. */
const SERVICES = '/api/v1/namespaces/default/services'
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices'

export interface KubeService {
  readonly name: string
  readonly clusterIP: string
  readonly ports: readonly {
    readonly name: string
    readonly protocol: 'TCP' | 'UDP'
    readonly port: number
    readonly target: number
    readonly nodePort?: number
  }[]
  readonly endpoints: readonly string[]
}

/** A service without selector and its one slice. */
export function manifests({ name, clusterIP, ports, endpoints }: KubeService): { service: object; slice: object } {
  const type = ports.some(({ nodePort }) => nodePort !== undefined) ? 'NodePort' : 'ClusterIP'
  return {
    service: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'default' },
      spec: { type, clusterIP, ports: ports.map(({ target, ...port }) => ({ ...port, targetPort: target })) },
    },
    slice: {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: ports.map(({ name: port, protocol, target }) => ({ name: port, protocol, port: target })),
      endpoints: endpoints.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    },
  }
}

/** A real API server on an etcd of its own, in a namespace of its own that lanes are linked to. */
export class KubeApi {
  readonly #directory: string
  readonly #programs: Program[] = []
  readonly #agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE, rejectUnauthorized: false })
  #nodes = 0

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** `directory` is made. This process is in the server's namespace afterwards. */
  static async start(directory: string): Promise<KubeApi> {
    mkdirSync(directory, { recursive: true })
    const api = new KubeApi(directory)
    execFileSync('ip', ['netns', 'add', CONTROL])
    // Not loopback: the server does not take that for its own address.
    configure(CONTROL, ['addr add 10.73.255.1/32 dev lo'])
    await api.#start()
    return api
  }

  async #start(): Promise<void> {
    const at = (name: string): string => path.join(this.#directory, name)
    execFileSync('openssl', ['genrsa', '-out', at('sa.key'), '2048'], { stdio: 'ignore' })
    writeFileSync(at('tokens.csv'), `${TOKEN},admin,admin,system:masters\n`)
    const urls = ['--listen-client-urls', ETCD, '--advertise-client-urls', ETCD]
    const quiet = ['--log-level', 'error', '--logger', 'zap']
    this.#run('etcd', ['etcd', '--data-dir', at('etcd'), ...quiet, ...urls])
    const server = this.#run('kube-apiserver', [
      path.join(KUBERNETES, 'kube-apiserver'),
      `--etcd-servers=${ETCD}`,
      `--cert-dir=${at('certificates')}`,
      '--secure-port=6443',
      '--bind-address=0.0.0.0',
      '--advertise-address=10.73.255.1',
      '--service-cluster-ip-range=10.96.0.0/12',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${at('sa.key')}`,
      `--service-account-signing-key-file=${at('sa.key')}`,
      `--token-auth-file=${at('tokens.csv')}`,
      '--authorization-mode=RBAC',
    ])
    enterNetns(netns(CONTROL))
    await server.until('the API server answers', async () => {
      await this.#call('GET', '/readyz')
      await this.#call('GET', '/api/v1/namespaces/default')
      return true
    })
  }

  #run(name: string, command: readonly [string, ...string[]]): Program {
    const program = new Program(netns(CONTROL), command, path.join(this.#directory, `${name}.log`))
    this.#programs.push(program)
    return program
  }

  /** Links a lane's node to the server and makes its Node; the file with which programs on it may ask. */
  async addNode(lane: Lane): Promise<string> {
    const net = `10.73.${this.#nodes++}`
    const link = `link add control netns ${lane.name} type veth peer name ${lane.name} netns ${CONTROL}\n`
    execFileSync('ip', ['-batch', '-'], { input: link })
    configure(CONTROL, [`addr add ${net}.1/24 dev ${lane.name}`, `link set dev ${lane.name} up`])
    configure(lane.name, [`addr add ${net}.2/24 dev control`, 'link set dev control up'])
    enterNetns(netns(CONTROL))
    await this.#call('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: lane.name } })
    const addresses = [{ type: 'InternalIP', address: lane.front }]
    await this.#call('PATCH', `/api/v1/nodes/${lane.name}/status`, { status: { addresses } })
    const file = path.join(this.#directory, `${lane.name}.kubeconfig`)
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'bench', cluster: { server: `https://${net}.1:6443`, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'bench', user: { token: TOKEN } }],
      contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
      'current-context': 'bench',
    }
    writeFileSync(file, JSON.stringify(config))
    return file
  }

  async create(services: readonly KubeService[]): Promise<void> {
    enterNetns(netns(CONTROL))
    // The server has closed what was idle while this process measured and read nothing.
    this.#agent.destroy()
    const queue = services.values()
    const write = async (): Promise<void> => {
      for (const each of queue) {
        const { service, slice } = manifests(each)
        await this.#call('POST', SERVICES, service)
        await this.#call('POST', SLICES, slice)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, write))
  }

  /** The certificate is the server's own: it is on this machine. */
  #call(method: string, where: string, body?: object): Promise<void> {
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': type }
    const to = { host: '127.0.0.1', port: 6443, path: where, method, headers, agent: this.#agent }
    return new Promise((resolve, reject) => {
      const call = request(to, (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () => {
          if ((answer.statusCode ?? 500) < 300) return resolve()
          const said = Buffer.concat(parts).toString().slice(0, 300)
          reject(new Error(`${method} ${where}: ${answer.statusCode} ${said}`))
        })
      })
      call.on('error', reject)
      call.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }

  async close(): Promise<void> {
    this.#agent.destroy()
    await Promise.all(this.#programs.map((program) => program.kill()))
  }
}
