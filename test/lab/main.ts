import { readFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { Command } from 'commander'
import { stringify } from 'yaml'
import { describeError, hintOf } from '../../agent/lib/errors.ts'
import { configure, hostEnv, stopDaemon } from './daemons.ts'
import { down } from './down.ts'
import { LabError } from './errors.ts'
import { findHost, logFile, onHost } from './hosts.ts'
import { withLock } from './lock.ts'
import { prepareForXdp, takesXdp } from './network.ts'
import { labPaths, type LabPaths } from './paths.ts'
import { signalNumber } from './process.ts'
import { say } from './progress.ts'
import { labStatus, podRows } from './status.ts'
import { annotate, apply, findCluster, remove } from './store.ts'
import { table } from './table.ts'
import { clusterCount, topologyOf } from './shape.ts'
import { MOST_CLUSTERS, type HostSpec, type NodeSpec } from './topology.ts'
import { readRecord, up } from './up.ts'
import { controlPlaneDaemon, daemonFor, startOn, VERBS } from './verbs.ts'

/** `test/lab/lab …`: data on stdout, progress on stderr, exit 0 (done), 1 (not done), 2 (asked wrongly). */

const program = new Command('lab')
  .description('Two to five clusters of two nodes in network namespaces, with real etcd, agents and traffic.')
  .option('--name <name>', 'which lab, when more than one runs', process.env['WEFT_LAB'])
  .enablePositionalOptions()
  .showHelpAfterError()
  .addHelpText('after', EXAMPLES())

function EXAMPLES(): string {
  return `
Examples:
  lab up                                        bring up two clusters with the webpod scenario
  lab up --clusters 5 --kvstoremesh             five of them, each with a copy of the others in its etcd
  lab exec west/curl-pod -- curl -s webpod      run a command on a node, in a pod, or on the client
  lab exec west-worker -- weft status
  lab annotate west service/webpod service.cilium.io/affinity=local
  lab stop west/webpod-697b545f57-rcp4r         the pod goes away; lab start brings it back
  lab kill west-worker                          SIGKILL for that node's agent; lab start restarts it
  lab restart west --set loadBalancer.algorithm=maglev
  lab down                                      leave no trace`
}

const here = (): LabPaths => labPaths(program.opts<{ name?: string }>().name)
const locked = <T>(work: (lab: LabPaths) => Promise<T>): Promise<T> => {
  const lab = here()
  return withLock(lab.lock, () => work(lab))
}
const print = (text: string): void => void process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
const collect = (value: string, all: string[]): string[] => [...all, value]

function emit(format: string | undefined, value: unknown, text: () => string): void {
  if (format === 'json') print(JSON.stringify(value, null, 2))
  else if (format === 'yaml') print(stringify(value))
  else if (format === undefined) print(text())
  else
    throw new LabError('bad-format', `unknown output format ${JSON.stringify(format)}`, {
      hint: 'use -o json or -o yaml',
    })
}

/** The nodes that a cluster's or a node's name stands for. */
function nodesOf(lab: LabPaths, name: string): NodeSpec[] {
  const cluster = topologyOf(lab).clusters.find((candidate) => candidate.name === name)
  if (cluster !== undefined) return [...cluster.nodes]
  const { host } = findHost(lab, name)
  if (host.kind === 'node') return [host]
  throw new LabError('not-a-node', `${name} is no node and no cluster`, { hint: 'name a node or a cluster' })
}

program
  .command('up')
  .description('bring the lab up; what already runs is left alone, but for agents that --set changes')
  .option('--scenario <name>', 'a file in test/lab/scenarios, or none')
  .option('--clusters <number>', `how many, 2 to ${String(MOST_CLUSTERS)}; fixed while the lab is up`, clusterCount)
  .option(
    '--kvstoremesh',
    'a kvstoremesh in every cluster, from whose copies its agents read; fixed while the lab is up',
  )
  .option('--no-agents', 'hosts, etcd and web servers only')
  .option(
    '--set <key=value>',
    "a setting on top of every agent's configuration, until it is set otherwise",
    collect,
    [],
  )
  .action((options: { scenario?: string; clusters?: number; kvstoremesh?: true; agents: boolean; set: string[] }) =>
    locked(async (lab) => {
      const scenario = options.scenario ?? readRecord(lab)?.scenario ?? 'webpod'
      const { clusters, kvstoremesh, agents, set: settings } = options
      const shape = {
        ...(clusters === undefined ? {} : { clusters }),
        ...(kvstoremesh === true ? { kvstoremesh } : {}),
      }
      await up(lab, { scenario, shape, agents, settings })
      say(`lab ${lab.name} is up`)
    }),
  )

program
  .command('down')
  .description('remove every trace of the lab')
  .action(() =>
    locked(async (lab) => {
      say((await down(lab)) ? `lab ${lab.name} is gone` : `lab ${lab.name} was not up`)
    }),
  )

program
  .command('status')
  .description('what runs')
  .option('--scenario <name>', 'succeed only if the lab is up with this scenario')
  .option('-o, --output <format>', 'json or yaml')
  .action((options: { scenario?: string; output?: string }) => {
    const status = labStatus(here())
    const rows = status.clusters.flatMap((cluster) =>
      cluster.nodes.map((node) => [
        cluster.name,
        node.name,
        node.ip,
        node.podCidr,
        node.host,
        node.agent,
        cluster.etcdState,
        cluster.apiserver,
        ...(cluster.kvstoremesh === undefined ? [] : [cluster.kvstoremesh]),
      ]),
    )
    const columns = ['CLUSTER', 'NODE', 'IP', 'POD CIDR', 'HOST', 'AGENT', 'ETCD', 'APISERVER']
    if (status.clusters.some(({ kvstoremesh }) => kvstoremesh !== undefined)) columns.push('KVSTOREMESH')
    emit(options.output, status, () => table(columns, rows))
    if (!status.up) say(`lab ${status.name} is not up: test/lab/lab up`)
    const other = options.scenario !== undefined && options.scenario !== status.scenario
    process.exitCode = status.up && !other ? 0 : 1
  })

program
  .command('exec')
  .description('run a command on a node, in a pod or on the client; its streams and exit status are passed through')
  .argument('<host>', 'NODE, POD, CLUSTER/POD or client')
  .argument('<command...>', 'the command, after --')
  .passThroughOptions()
  .action(async (name: string, command: string[]) => {
    const lab = here()
    const { host, others } = findHost(lab, name)
    if (others.length > 0 && host.kind === 'pod') {
      process.stderr.write(`lab: ${name} of ${host.cluster}; there is also ${others.join(', ')}\n`)
    }
    process.exitCode = await passThrough(lab, host, command)
  })

/** Runs a command with our own streams; signals we get go to it, its status (128 + n for a signal) is ours. */
function passThrough(lab: LabPaths, host: HostSpec, command: string[]): Promise<number> {
  const [file = '', ...args] = onHost(lab, host, 'exec', command, process.cwd())
  const child = spawn(file, args, { stdio: 'inherit', env: hostEnv(lab, host) })
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name))
  process.on('SIGINT', () => undefined) // the terminal sends it to the command as well
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve(code ?? 128 + signalNumber(signal))
    })
  })
}

program
  .command('apply')
  .description("write manifests into a cluster's directories; an object that is there already is replaced")
  .argument('<cluster>')
  .argument('<file...>')
  .action((name: string, files: string[]) =>
    locked(async (lab) => {
      for (const label of apply(lab, findCluster(lab, name), files)) print(`${label} configured in ${name}`)
    }),
  )

program
  .command('delete')
  .description('remove the objects that manifests name from a cluster')
  .argument('<cluster>')
  .argument('<file...>')
  .action((name: string, files: string[]) =>
    locked(async (lab) => {
      for (const label of remove(lab, findCluster(lab, name), files)) print(`${label} deleted from ${name}`)
    }),
  )

program
  .command('annotate')
  .description('set (KEY=VALUE) or remove (KEY-) annotations of an applied object')
  .argument('<cluster>')
  .argument('<object>', 'for example service/webpod')
  .argument('<change...>')
  .action((name: string, object: string, changes: string[]) =>
    locked(async (lab) => {
      annotate(lab, findCluster(lab, name), object, changes)
      print(`${object} annotated in ${name}`)
    }),
  )

program
  .command('logs')
  .description("a node's agent log, or a pod's server log")
  .argument('<host>')
  .option('--of <daemon>', 'agent, apiserver, etcd, kvstoremesh, server or holder')
  .action((name: string, options: { of?: string }) => {
    const lab = here()
    const { host } = findHost(lab, name)
    const file = logFile(lab, host, options.of ?? (host.kind === 'pod' ? 'server' : 'agent'))
    try {
      print(readFileSync(file, 'utf8'))
    } catch (error) {
      throw new LabError('no-log', `there is no ${file}`, {
        hint: 'is the lab up, and does that daemon run there?',
        cause: error,
      })
    }
  })

program
  .command('pods')
  .description('the pods of a cluster')
  .argument('<cluster>')
  .option('-o, --output <format>', 'json or yaml')
  .action((name: string, options: { output?: string }) => {
    const lab = here()
    const rows = podRows(lab, findCluster(lab, name))
    emit(options.output, rows, () =>
      table(
        ['NAMESPACE', 'NAME', 'IP', 'NODE'],
        rows.map((pod) => [pod.namespace, pod.name, pod.ip, pod.node]),
      ),
    )
  })

for (const [verb, description, past, work] of VERBS) {
  program
    .command(verb)
    .description(description)
    .argument('<host...>', 'NODE or CLUSTER/POD')
    .option('--of <daemon>', 'etcd, apiserver or kvstoremesh of a control-plane node, instead of its agent')
    .action((names: string[], options: { of?: string }) =>
      locked(async (lab) => {
        await Promise.all(
          names.map(async (name) => {
            const { host } = findHost(lab, name)
            if (options.of !== undefined) {
              await controlPlaneDaemon(lab, host, verb, options.of)
              print(`${options.of} of ${name} ${past}`)
              return
            }
            daemonFor(host)
            if (host.kind === 'node' || host.kind === 'pod') await work(lab, host)
            print(`${name} ${past}`)
          }),
        )
      }),
    )
}

program
  .command('restart')
  .description('restart agents, with other settings if asked')
  .argument('<where>', 'a node or a cluster')
  .option('--set <key=value>', 'a setting in the configuration file', collect, [])
  .action((name: string, options: { set: string[] }) =>
    locked(async (lab) => {
      const nodes = nodesOf(lab, name)
      if (takesXdp(options.set)) await prepareForXdp(lab)
      for (const node of nodes) configure(lab, node, options.set)
      await Promise.all(
        nodes.map(async (node) => {
          await stopDaemon(lab, node, 'agent')
          await startOn(lab, node)
          print(`${node.name} restarted`)
        }),
      )
    }),
  )

try {
  await program.parseAsync()
} catch (error) {
  process.stderr.write(`lab: ${describeError(error)}\n`)
  const hint = hintOf(error)
  if (hint !== undefined) process.stderr.write(`     ${hint}\n`)
  process.exitCode = error instanceof LabError && /^(no-such|bad)-/.test(error.code) ? 2 : 1
}
