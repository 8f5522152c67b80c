import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../eventually.ts'
import { Lab } from '../lab/cli.ts'
import type { LabStatus, PodRow } from '../lab/status.ts'
import { topologyFor } from '../lab/topology.ts'
import { liveNamespaces, tracesOf } from '../lab/traces.ts'

const NOTHING = { processes: [], mounts: [], cgroups: [], files: [], namespaces: [] }
const up = ['up', '--no-agents']

describe('the lab', () => {
  const lab = new Lab(`topology-${String(process.pid)}`)

  beforeAll(async () => {
    await lab.run(up)
  })
  afterAll(async () => {
    await lab.run(['down'])
  })

  test('a pod reaches the web server on its own node, which sees the pod as its peer', async () => {
    const answer = await lab.exec('west/curl-pod', ['curl', '-s', '10.0.0.46'])
    expect(answer).toMatch(/^Hostname: webpod-697b545f57-rcp4r$/m)
    expect(answer).toMatch(/^RemoteAddr: 10\.0\.0\.144:\d+$/m)
  })

  test('nodes and the client reach each other', async () => {
    const nodes = topologyFor().clusters.flatMap((cluster) => cluster.nodes)
    for (const from of ['client', 'west-worker']) {
      for (const to of nodes) expect(await lab.exec(from, ['ping', '-c1', '-W2', to.ip])).toContain(' 0% packet loss')
    }
  })

  test('a node sees its own devices, an empty bpffs and its own name', async () => {
    expect(await lab.exec('west-worker', ['ls', '/sys/class/net'])).toBe('eth0\nlo\nlxc-jjpz9\n')
    expect(await lab.exec('west-worker', ['stat', '-f', '-c', '%T', '/sys/fs/bpf'])).toBe('bpf_fs\n')
    expect(await lab.exec('west-worker', ['hostname'])).toBe('west-worker\n')
    await lab.exec('west-worker', ['mkdir', '/sys/fs/bpf/mine'])
    expect(await lab.exec('west-control-plane', ['find', '/sys/fs/bpf', '-name', 'mine'])).toBe('')
    await lab.exec('west-worker', ['rmdir', '/sys/fs/bpf/mine'])
  })

  test("commands in a pod run inside the node's cgroup", async () => {
    const line = await lab.exec('west/curl-pod', ['grep', '^0::', '/proc/self/cgroup'])
    expect(line.trim()).toBe(`0::/${path.basename(lab.paths.cgroup)}/west-control-plane/curl-pod/exec`)
  })

  test('exec passes status, streams and working directory through', async () => {
    const script = 'cat; echo oops >&2; pwd; exit 7'
    const done = await lab.try(['exec', 'client', '--', 'sh', '-c', script], { input: 'in\n' })
    expect(done).toEqual({ code: 7, stdout: `in\n${lab.paths.root}\n`, stderr: 'oops\n' })
  })

  test('each cluster has an etcd that every node can reach', async () => {
    const { clusters } = await lab.json<LabStatus>(['status', '-o', 'json'])
    expect(clusters.map((cluster) => cluster.name)).toEqual(['west', 'east'])
    for (const cluster of clusters) {
      expect(await lab.exec('west-worker', ['curl', '-s', `${cluster.etcd}/health`])).toContain('"true"')
      expect(cluster.nodes.map((node) => node.name)).toEqual([
        `${cluster.name}-control-plane`,
        `${cluster.name}-worker`,
      ])
    }
  })

  test("the service's name is its cluster's own ClusterIP in each cluster", async () => {
    expect(await lab.exec('west/curl-pod', ['getent', 'hosts', 'webpod'])).toMatch(/^10\.2\.47\.149 /)
    expect(await lab.exec('east/curl-pod', ['getent', 'hosts', 'webpod.default.svc'])).toMatch(/^10\.3\.105\.173 /)
  })

  test('a pod that stops leaves the cluster and comes back', async () => {
    const names = async (): Promise<string[]> =>
      (await lab.json<PodRow[]>(['pods', 'west', '-o', 'json'])).map((pod) => pod.name)
    const all = await names()
    await lab.run(['stop', 'west/webpod-697b545f57-rcp4r'])
    expect(await names()).toEqual(all.filter((name) => !name.endsWith('rcp4r')))
    expect((await lab.try(['exec', 'west/curl-pod', '--', 'curl', '-s', '10.0.0.46'])).code).toBe(7)
    await lab.run(['start', 'west/webpod-697b545f57-rcp4r'])
    expect(await names()).toEqual(all)
    expect(await lab.exec('west/curl-pod', ['curl', '-s', '10.0.0.46'])).toContain('rcp4r')
  })

  test('an object applied from another file replaces the first one, in every directory', async () => {
    const file = path.join(lab.paths.state, 'changed.yaml')
    const service = readFileSync(path.join(lab.paths.root, 'test/lab/scenarios/webpod.yaml'), 'utf8')
    writeFileSync(file, service.replace('port: 80', 'port: 8080'))
    await lab.run(['apply', 'west', file])
    for (const dir of ['west-worker', 'west-control-plane', 'clusters/west/apiserver']) {
      const held = path.join(lab.paths.state, dir, 'manifests', 'service-default-webpod.yaml')
      expect(readFileSync(held, 'utf8')).toMatch(/port: 8080[^]*clusterIP: 10\.2\.47\.149/)
    }
    await lab.run(['delete', 'west', file])
    expect(existsSync(path.join(lab.paths.state, 'west-worker/manifests/service-default-webpod.yaml'))).toBe(false)
  })

  test('a file that is no clean manifest reaches the nodes unchanged, for the agent to refuse', async () => {
    const file = path.join(lab.paths.state, 'broken.yaml')
    writeFileSync(file, 'kind: Service\nmetadata: {name: x\n')
    await lab.run(['apply', 'east', file])
    expect(readFileSync(path.join(lab.paths.state, 'east-worker/manifests/broken.yaml'), 'utf8')).toBe(
      readFileSync(file, 'utf8'),
    )
    await lab.run(['delete', 'east', file])
    expect(existsSync(path.join(lab.paths.state, 'east-worker/manifests/broken.yaml'))).toBe(false)
  })

  test('a second up changes nothing that runs', async () => {
    const before = tracesOf(lab.paths).processes
    await lab.run(up)
    expect(tracesOf(lab.paths).processes).toEqual(before)
  })

  test('another shape is refused while it runs, and what is no shape always', async () => {
    for (const flags of [['--clusters', '3'], ['--kvstoremesh']]) {
      expect(await lab.try([...up, ...flags])).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/is up with 2 clusters, not .*\n.*lab --name \S+ down first/) as string,
      })
    }
    for (const number of ['1', '6', '2.5', 'many'])
      expect(await lab.try([...up, '--clusters', number])).toMatchObject({ code: 2 })
    const { clusters } = await lab.json<LabStatus>(['status', '-o', 'json'])
    expect(clusters).toHaveLength(2)
  })

  test('hosts and clusters that do not exist are refused with the names that do', async () => {
    expect(await lab.try(['exec', 'north', '--', 'true'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('west-worker') as string,
    })
    expect(await lab.try(['pods', 'north'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('west, east') as string,
    })
  })
})

describe('taking the lab down', () => {
  test('leaves nothing, not even after a host was lost', async () => {
    const lab = new Lab(`down-${String(process.pid)}`)
    await lab.run(up)
    const there = tracesOf(lab.paths)
    expect(there.namespaces).toHaveLength(12)
    const bystander = spawn('sleep', ['infinity'])
    const holder = JSON.parse(readFileSync(path.join(lab.paths.state, 'west-worker/holder.pid'), 'utf8')) as {
      pid: number
    }
    process.kill(holder.pid, 'SIGKILL')
    await lab.run(['down'])
    expect(tracesOf(lab.paths)).toEqual(NOTHING)
    const alive = liveNamespaces()
    expect(there.namespaces.filter((namespace) => alive.has(namespace))).toEqual([])
    expect(bystander.exitCode ?? bystander.signalCode).toBeNull()
    bystander.kill('SIGKILL')
  })

  test('of five clusters, whose number every command remembers, leaves nothing', { timeout: 90_000 }, async () => {
    const lab = new Lab(`five-${String(process.pid)}`)
    await lab.run([...up, '--clusters', '5'])
    expect(tracesOf(lab.paths).namespaces).toHaveLength(27)
    for (const pod of topologyFor({ clusters: 5 }).clusters.flatMap(({ pods }) => pods.filter(({ serves }) => serves)))
      expect(await lab.exec(pod.node, ['curl', '-s', pod.ip])).toContain(`Hostname: ${pod.name}\n`)
    expect(await lab.exec('client', ['ping', '-c1', '-W2', 'central-worker'])).toContain(' 0% packet loss')
    expect(await lab.json<PodRow[]>(['pods', 'south', '-o', 'json'])).toHaveLength(3)
    const before = tracesOf(lab.paths).processes
    await lab.run(up)
    expect(tracesOf(lab.paths).processes).toEqual(before)
    await lab.run(['down'])
    expect(tracesOf(lab.paths)).toEqual(NOTHING)
  })

  test.each(['west-worker/holder.pid', 'east-control-plane/etcd.pid', 'west.webpod-697b545f57-jjpz9/server.pid'])(
    'leaves nothing of a lab killed when %s appeared, and it can come up again',
    async (moment) => {
      const lab = new Lab(`killed-${String(process.pid)}`)
      const child = spawn('test/lab/lab', up, { env: lab.env, cwd: lab.paths.root, stdio: 'ignore' })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      await eventually(() => existsSync(path.join(lab.paths.state, moment)), { everyMs: 1 })
      child.kill('SIGKILL')
      await ended
      await lab.run(['down'])
      expect(tracesOf(lab.paths)).toEqual(NOTHING)
      await lab.run(up)
      expect(await lab.exec('west/curl-pod', ['curl', '-s', '10.0.0.46'])).toContain('Hostname')
      await lab.run(['down'])
      expect(tracesOf(lab.paths)).toEqual(NOTHING)
    },
  )

  test('of a lab that is not there says so and succeeds', async () => {
    const done = await new Lab(`absent-${String(process.pid)}`).try(['down'])
    expect(done).toMatchObject({ code: 0, stderr: expect.stringContaining('was not up') as string })
  })
})
