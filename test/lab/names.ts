import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { parse } from 'yaml'
import { hostsFile, storeDir, type LabPaths } from './paths.ts'
import { topologyOf } from './shape.ts'
import type { ClusterSpec } from './topology.ts'

/**
 * Names resolve through /etc/hosts: each cluster's nodes and pods see a file with the cluster's services, as its DNS
 * would answer them. The file is bind-mounted, so it is changed in place: a rename would leave the mounts on the old one.
 */
export function writeHostsFile(lab: LabPaths, cluster: ClusterSpec): void {
  const services = serviceAddresses(lab, cluster)
  const lines = services.map(({ ip, name, namespace }) => {
    const short = namespace === 'default' ? [name] : []
    return [
      ip,
      ...short,
      `${name}.${namespace}`,
      `${name}.${namespace}.svc`,
      `${name}.${namespace}.svc.cluster.local`,
    ].join(' ')
  })
  overwrite(hostsFile(lab, cluster.name), [...nodeLines(lab), ...lines])
}

/** For hosts outside all clusters: the machines of the segment only. */
export function writeOutsideHosts(lab: LabPaths): void {
  overwrite(path.join(lab.state, 'hosts'), nodeLines(lab))
}

function nodeLines(lab: LabPaths): string[] {
  const topology = topologyOf(lab)
  const nodes = topology.clusters.flatMap((cluster) => cluster.nodes)
  return ['127.0.0.1 localhost', ...[...nodes, topology.client].map((host) => `${host.ip} ${host.name}`)]
}

function serviceAddresses(lab: LabPaths, cluster: ClusterSpec): { ip: string; name: string; namespace: string }[] {
  const dir = storeDir(lab, cluster.name)
  const files = existsSync(dir) ? readdirSync(dir).filter((file) => file.startsWith('service-')) : []
  return files.sort().flatMap((file) => {
    const object = parse(readFileSync(path.join(dir, file), 'utf8')) as {
      metadata?: { name?: string; namespace?: string }
      spec?: { clusterIP?: unknown }
    } | null
    const name = object?.metadata?.name
    const ip = object?.spec?.clusterIP
    if (name === undefined || typeof ip !== 'string' || ip === 'None') return []
    return [{ ip, name, namespace: object?.metadata?.namespace ?? 'default' }]
  })
}

/** One write, then the cut: a reader in between sees old lines at the end, never an empty file. */
function overwrite(file: string, lines: readonly string[]): void {
  mkdirSync(path.dirname(file), { recursive: true })
  const text = Buffer.from(`${lines.join('\n')}\n`)
  const fd = openSync(file, existsSync(file) ? 'r+' : 'w')
  try {
    writeSync(fd, text, 0, text.length, 0)
    ftruncateSync(fd, text.length)
  } finally {
    closeSync(fd)
  }
}
