import { describe, expect, it } from 'vitest'
import { AGENT_SETTINGS, loadConfig } from '../../agent/config.ts'
import {
  APISERVER_SETTINGS,
  KVSTOREMESH_SETTINGS,
  loadApiserverConfig,
  loadKvstoremeshConfig,
} from '../../agent/config/exporters.ts'
import type { ConfigInput } from '../../agent/config/shared.ts'
import { InvalidConfig } from '../../agent/lib/settings.ts'

const MOUNTS = `cgroup /sys/fs/cgroup/memory cgroup rw 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid 0 0
cgroup2 /mnt/other\\040one cgroup2 rw 0 0
`

function input(parts: {
  flags?: ConfigInput['flags']
  env?: ConfigInput['env']
  files?: Readonly<Record<string, string>>
}): ConfigInput {
  const files: Readonly<Record<string, string>> = { '/proc/self/mounts': MOUNTS, ...parts.files }
  return {
    flags: parts.flags ?? {},
    env: parts.env ?? {},
    readFile(path) {
      const text = files[path]
      if (text === undefined) throw new Error(`ENOENT: no such file or directory, open '${path}'`)
      return text
    },
  }
}

function fromFile(text: string): ConfigInput {
  return input({ flags: { config: '/etc/weft/agent.yaml' }, files: { '/etc/weft/agent.yaml': text } })
}

/** Messages of the refusal. */
function problemsOf(load: () => unknown): string[] {
  try {
    load()
  } catch (error) {
    if (error instanceof InvalidConfig) return error.problems.map((problem) => problem.message)
    throw error
  }
  return []
}

describe('loadConfig', () => {
  it('takes defaults from the table and from the machine', () => {
    const { config, values } = loadConfig(input({}))
    expect(config).toMatchObject({
      clusterName: 'default',
      clusterId: 0,
      nodeIp: undefined,
      cgroupRoot: '/sys/fs/cgroup/unified',
      apiSocket: '/run/weft/weft.sock',
      loadBalancer: { algorithm: 'random', mode: 'snat', maglevTableSize: 16381 },
      nodePortRange: [30000, 32767],
      serviceNoBackendResponse: 'reject',
      autoDirectNodeRoutes: true,
      unreachableAfter: 10_000,
      cacheTTL: 300_000,
      auditInterval: 60_000,
    })
    expect(config.bpfObjects).toMatch(/\/build\/bpf$/)
    expect(values.every((value) => value.source === 'default')).toBe(true)
    expect(values.map((value) => value.key)).toEqual(AGENT_SETTINGS.slice(1).map((setting) => setting.key))
  })

  it('is frozen, groups included', () => {
    const { config } = loadConfig(input({}))
    expect(() => Object.assign(config, { clusterId: 3 })).toThrow(TypeError)
    expect(() => Object.assign(config.loadBalancer, { algorithm: 'maglev' })).toThrow(TypeError)
    expect(() => Object.assign(config.nodePortRange, { 0: 1 })).toThrow(TypeError)
  })

  it('lets flags win over the environment, the environment over the file, and says which it was', () => {
    const { config, values } = loadConfig({
      ...fromFile('clusterName: from-file\nclusterId: 3\nlogLevel: debug\nunreachableAfter: 2s\n'),
      env: { WEFT_CLUSTER_NAME: 'from-env', WEFT_CLUSTER_ID: '4', WEFT_LOG_LEVEL: '' },
      flags: { config: '/etc/weft/agent.yaml', 'cluster-name': 'from-flag' },
    })
    expect(config).toMatchObject({ clusterName: 'from-flag', clusterId: 4, logLevel: 'debug', unreachableAfter: 2_000 })
    const sources = Object.fromEntries(values.map(({ key, value, source }) => [key, [value, source]]))
    expect(sources).toMatchObject({
      clusterName: ['from-flag', 'flag --cluster-name'],
      clusterId: [4, 'env WEFT_CLUSTER_ID'],
      logLevel: ['debug', 'file /etc/weft/agent.yaml'],
      unreachableAfter: ['2s', 'file /etc/weft/agent.yaml'],
      cacheTTL: ['5m', 'default'],
      nodeIp: [null, 'default'],
    })
  })

  it('reads nested, dotted and JSON files alike', () => {
    const nested = loadConfig(fromFile('loadBalancer:\n  algorithm: maglev\n  maglevTableSize: auto\n'))
    const dotted = loadConfig(fromFile('loadBalancer.algorithm: maglev\nloadBalancer.maglevTableSize: auto\n'))
    const json = loadConfig(fromFile('{"loadBalancer": {"algorithm": "maglev", "maglevTableSize": "auto"}}'))
    expect(nested.config).toEqual(dotted.config)
    expect(json.config).toEqual(dotted.config)
    expect(nested.config.loadBalancer).toMatchObject({ algorithm: 'maglev', mode: 'snat', maglevTableSize: 'auto' })
  })

  it('takes the file from the environment, and an empty file for no settings', () => {
    const { config } = loadConfig(input({ env: { WEFT_CONFIG: '/c' }, files: { '/c': '# nothing yet\n' } }))
    expect(config.clusterName).toBe('default')
  })

  it('resolves a relative path from the folder of the file that holds it', () => {
    const { config } = loadConfig(fromFile('manifests: manifests\nstateDir: /run/x\n'))
    expect(config.manifests).toBe('/etc/weft/manifests')
    expect(config.apiSocket).toBe('/run/x/weft.sock')
    expect(loadConfig(input({ flags: { manifests: 'here' } })).config.manifests).toBe(`${process.cwd()}/here`)
  })

  it('uses the usual place when no cgroup2 is to be found, and undoes the escapes of the mount table', () => {
    const at = (mounts: string) => loadConfig(input({ files: { '/proc/self/mounts': mounts } })).config.cgroupRoot
    expect(at('tmpfs / tmpfs rw 0 0\n')).toBe('/sys/fs/cgroup')
    expect(at('c /mnt/other\\040one cgroup2 rw 0 0\n')).toBe('/mnt/other one')
  })

  it.each([
    [{ 'cluster-id': '255', 'cluster-name': 'w' }],
    [{ 'cluster-name': 'a'.repeat(32) }],
    [{ 'node-ip': '172.18.0.2' }],
    [{ 'pod-cidr': '10.0.1.0/24' }],
    [{ uplink: 'eth0.100' }],
    [{ 'auto-direct-node-routes': true }],
    [{ 'auto-direct-node-routes': 'False' }],
    [{ 'cache-ttl': '1h30m' }],
    [{ 'map-sizes-slots': '1048576' }],
    [{ 'load-balancer-maglev-table-size': '65521' }],
    [{ 'node-port-range': '30000-30000' }],
  ])('accepts %j', (flags) => {
    expect(problemsOf(() => loadConfig(input({ flags })))).toEqual([])
  })

  it.each([
    [{ 'cluster-id': '256' }, 'clusterId is "256" (flag --cluster-id); allowed: a number from 1 to 255'],
    [{ 'cluster-id': '-1' }, 'clusterId is "-1"'],
    [{ 'cluster-id': '1.5' }, 'clusterId is "1.5"'],
    [{ 'cluster-id': '1' }, 'clusterName is "default" (default): a cluster with an id'],
    [{ 'cluster-name': 'we/st' }, 'clusterName is "we/st" (flag --cluster-name); allowed: at most 32 lower-case'],
    [{ 'cluster-name': 'West' }, 'clusterName is "West"'],
    [{ 'cluster-name': 'a'.repeat(33) }, 'clusterName is "aaa'],
    [{ 'cluster-name': '' }, 'clusterName is ""'],
    [{ 'cluster-name': '-a' }, 'clusterName is "-a"'],
    [{ 'node-ip': '172.18.0' }, 'nodeIp is "172.18.0"'],
    [{ 'node-ip': '010.0.0.1' }, 'nodeIp is "010.0.0.1"'],
    [{ uplink: 'a-name-that-is-too-long' }, 'uplink is "a-name-that-is-too-long"'],
    [{ 'log-level': 'loud' }, 'logLevel is "loud" (flag --log-level); allowed: debug, info, warn, error, silent'],
    [
      { 'load-balancer-algorithm': 'rr' },
      'loadBalancer.algorithm is "rr" (flag --load-balancer-algorithm); allowed: random, maglev',
    ],
    [{ 'load-balancer-maglev-table-size': '1000' }, 'loadBalancer.maglevTableSize is "1000"'],
    [{ 'unreachable-after': '10' }, 'unreachableAfter is "10"'],
    [{ 'unreachable-after': '0s' }, 'unreachableAfter is "0s"'],
    [{ 'unreachable-after': '10m' }, 'cacheTTL is "5m" (default): must be longer than unreachableAfter'],
    [{ 'node-port-range': '32767-30000' }, 'nodePortRange is "32767-30000"'],
    [
      { 'node-port-range': '30000-65535' },
      'nodePortRange is "30000-65535" (flag --node-port-range): must end below 65535',
    ],
    [{ 'node-port-range': '1-65536' }, 'nodePortRange is "1-65536"'],
    [{ 'auto-direct-node-routes': 'maybe' }, 'autoDirectNodeRoutes is "maybe"'],
    [{ 'map-sizes-services': '0' }, 'mapSizes.services is "0"'],
    [{ socket: `/${'x'.repeat(107)}` }, 'apiSocket is "/xxx'],
    [{ 'clustermesh-config': '/m' }, 'clusterId is 0 (default): a cluster that connects to others'],
  ])('refuses %j', (flags, message) => {
    const problems = problemsOf(() => loadConfig(input({ flags })))
    expect(problems).toHaveLength(1)
    expect(problems[0]).toContain(message)
  })

  it('names an unknown key and the one that was meant', () => {
    const problems = problemsOf(() =>
      loadConfig(fromFile('clusterNmae: west\nloadBalancer:\n  algoritm: maglev\nfoo: 1\n')),
    )
    expect(problems).toEqual([
      'clusterNmae in file /etc/weft/agent.yaml is not a setting; did you mean clusterName?',
      'loadBalancer.algoritm in file /etc/weft/agent.yaml is not a setting; did you mean loadBalancer.algorithm?',
      expect.stringMatching(/^foo in file .* is not a setting; known: clusterName, /),
    ])
  })

  it.each([
    ['clusterName: [west', 'file /etc/weft/agent.yaml cannot be used: '],
    ['- a\n', 'file /etc/weft/agent.yaml holds ["a"] instead of'],
    ['loadBalancer: maglev\n', 'loadBalancer in file /etc/weft/agent.yaml is a group'],
    ['loadBalancer: {algorithm: maglev}\nloadBalancer.algorithm: random\n', 'loadBalancer.algorithm is written twice'],
    ['clusterName: 7\n', 'clusterName is 7 (file /etc/weft/agent.yaml)'],
    ['clusterId: {a: 1}\n', 'clusterId is {"a":1} (file /etc/weft/agent.yaml)'],
  ])('refuses the file %j', (text, message) => {
    expect(problemsOf(() => loadConfig(fromFile(text)))).toEqual([expect.stringContaining(message)])
  })

  it('refuses a file that is not there', () => {
    const problems = problemsOf(() => loadConfig(input({ flags: { config: '/nowhere' } })))
    expect(problems).toEqual([expect.stringMatching(/^file \/nowhere cannot be used: ENOENT/)])
  })

  it('reports everything at once, with a code and a hint', () => {
    const load = (): unknown =>
      loadConfig({
        ...fromFile('clusterId: 300\ncolour: red\n'),
        env: { WEFT_LOG_LEVEL: 'loud', WEFT_SOCKET: 'x'.repeat(200) },
      })
    expect(problemsOf(load)).toHaveLength(4)
    expect(load).toThrow(expect.objectContaining({ code: 'config-invalid', hint: expect.any(String) as string }))
    expect(load).toThrow(/clusterId is 300 \(file [^)]*\)[\s\S]*logLevel is "loud" \(env WEFT_LOG_LEVEL\)/)
  })
})

describe('loadApiserverConfig', () => {
  it('needs a name and an id', () => {
    expect(problemsOf(() => loadApiserverConfig(input({})))).toEqual([
      expect.stringContaining('clusterId has no value (default); allowed: a number from 1 to 255'),
      expect.stringContaining('clusterName is "default" (default): a cluster that is exported'),
    ])
  })

  it('reads a list of etcd servers as text or as a list', () => {
    const env = { WEFT_CLUSTER_NAME: 'west', WEFT_CLUSTER_ID: '1' }
    const text = loadApiserverConfig(input({ env: { ...env, WEFT_ETCD_ENDPOINTS: 'http://a:2379, https://b:2379' } }))
    expect(text.config.etcdEndpoints).toEqual(['http://a:2379', 'https://b:2379'])
    const list = loadApiserverConfig({ ...fromFile('etcdEndpoints: [http://a:2379]\n'), env })
    expect(list.config.etcdEndpoints).toEqual(['http://a:2379'])
    expect(problemsOf(() => loadApiserverConfig(input({ env, flags: { 'etcd-endpoints': 'a:2379' } })))).toHaveLength(1)
  })
})

describe('loadKvstoremeshConfig', () => {
  it('needs a name, an id and a directory, and a key for a certificate', () => {
    expect(problemsOf(() => loadKvstoremeshConfig(input({ flags: { 'etcd-cert-file': '/c.crt' } })))).toEqual([
      expect.stringContaining('clusterId has no value'),
      expect.stringContaining('clustermeshConfig has no value'),
      expect.stringContaining('clusterName is "default"'),
      expect.stringContaining('a certificate and its key'),
    ])
  })
})

describe('settings', () => {
  it.each([AGENT_SETTINGS, APISERVER_SETTINGS, KVSTOREMESH_SETTINGS])(
    'have distinct flags and variables, and a description each',
    (...settings) => {
      expect(new Set(settings.map((setting) => setting.flag)).size).toBe(settings.length)
      expect(new Set(settings.map((setting) => setting.env)).size).toBe(settings.length)
      for (const setting of settings) {
        expect(setting.flag).toMatch(/^--[a-z0-9]+(-[a-z]+)* [<[]\w+[\]>]$/)
        expect(setting.env).toMatch(/^WEFT_[A-Z0-9]+(_[A-Z]+)*$/)
        expect(setting.description).not.toBe('')
      }
    },
  )

  it('follow from their keys', () => {
    expect(AGENT_SETTINGS[0]).toMatchObject({ key: 'config', flag: '--config <file>', env: 'WEFT_CONFIG' })
    const named = Object.fromEntries(AGENT_SETTINGS.map((setting) => [setting.key, setting]))
    expect(named['loadBalancer.maglevTableSize']).toMatchObject({
      flag: '--load-balancer-maglev-table-size <entries>',
      env: 'WEFT_LOAD_BALANCER_MAGLEV_TABLE_SIZE',
      default: 16381,
    })
    expect(named['cacheTTL']?.flag).toBe('--cache-ttl <duration>')
    expect(named['apiSocket']).toMatchObject({ flag: '--socket <path>', env: 'WEFT_SOCKET' })
  })
})
