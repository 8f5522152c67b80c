import type { DeviceReport, StatusReport } from '../api/types.ts'
import { renderClusterMesh } from './clustermesh-text.ts'
import { formatDuration } from './duration.ts'
import { renderProblems } from './problems-text.ts'
import { formatColumns, formatTable } from './table.ts'

export interface StatusView {
  readonly verbose: boolean
  readonly allClusters: boolean
  readonly now: Date
}

/** The layout of `cilium-dbg status`: aligned `Key:   value` lines, the mesh block, details on demand, problems last. */
export function renderStatus(report: StatusReport, view: StatusView): string {
  const { cluster, node, datapath } = report
  const failing = report.targets.reduce((sum, target) => sum + target.failing, 0)
  const pending = report.targets.reduce((sum, target) => sum + target.pending, 0)
  const desired = report.targets.reduce((sum, target) => sum + target.desired, 0)
  const waiting = report.waitingFor.length === 0 ? 'Ok' : `Waiting for ${report.waitingFor.join(', ')}`
  const problems = report.problems.length
  const head = [
    ['Weft:', report.ok ? 'Ok' : problems === 1 ? '1 problem' : `${problems} problems`, report.version],
    ['Cluster:', cluster.name, `id ${cluster.id}`],
    ['Node:', node.name, [node.address, ...node.podCidrs.map((cidr) => `pods ${cidr}`)].join(', ')],
    ['Uptime:', formatDuration(report.uptimeSeconds)],
    ['Sources:', waiting],
    ['KubeProxyReplacement:', datapath.programs.length > 0 ? 'True' : 'False', deviceList(datapath.devices)],
    ...(datapath.loadBalancer.acceleration === 'disabled' ? [] : [['XDP:', xdpList(datapath.devices)]]),
    ...(view.verbose ? [['Masquerading:', ...masquerading(datapath.masquerading)]] : []),
    [
      'Datapath:',
      failing > 0 ? 'Failing' : pending > 0 ? 'Pending' : 'Ok',
      `${desired - failing - pending}/${desired} in place`,
    ],
  ]
  return [
    formatColumns(head),
    renderClusterMesh(report.clusterMesh, view),
    view.verbose ? renderDetails(report) : '',
    renderProblems(report.problems),
  ].join('')
}

function renderDetails(report: StatusReport): string {
  const { loadBalancer, programs, maps } = report.datapath
  const details = formatColumns(
    [
      ['Status:', programs.length > 0 ? 'True' : 'False'],
      ['Mode:', modeName(loadBalancer.mode)],
      ...(loadBalancer.mode === 'snat' ? [] : [['  DSR Dispatch Mode:', capitalize(loadBalancer.dsrDispatch)]]),
      ['Backend Selection:', backendSelection(loadBalancer)],
      ['Session Affinity:', loadBalancer.sessionAffinity ? 'Enabled' : 'Disabled'],
      ['XDP Acceleration:', loadBalancer.acceleration.split('-').map(capitalize).join('-')],
    ],
    { indent: 2 },
  )
  const programTable = formatTable(
    ['Name', 'Attached To', 'ID'],
    programs.map((program) => [program.name, program.attachedTo, String(program.id)]),
    { indent: 2 },
  )
  const mapTable = formatTable(
    ['Name', 'Entries', 'Size', 'Fill'],
    maps.map((map) => [map.name, String(map.entries), String(map.maxEntries), fill(map.entries, map.maxEntries)]),
    { indent: 2 },
  )
  const targetTable = formatTable(
    ['Name', 'Desired', 'Actual', 'Pending', 'Failing', 'Drift', 'Last Error'],
    report.targets.map((target) => [
      target.name,
      ...[target.desired, target.actual, target.pending, target.failing, target.drift].map(String),
      target.lastError ?? '',
    ]),
    { indent: 2 },
  )
  return [
    'KubeProxyReplacement Details:\n',
    details,
    'BPF Programs:\n',
    programTable,
    'BPF Maps:\n',
    mapTable,
    'Reconciled Targets:\n',
    targetTable,
  ].join('')
}

/** In columns of their own, so that they widen no other's. */
function masquerading(given: StatusReport['datapath']['masquerading']): string[] {
  if (given === undefined) return ['Disabled']
  const how = given.ipMasqAgent ? 'BPF (ip-masq-agent)' : 'BPF'
  const parts = [`[${given.devices.join(', ')}]`, given.exclusion, '[IPv4: Enabled, IPv6: Disabled]']
  return [how, parts.filter((part) => part !== '').join('   ')]
}

function modeName(mode: string): string {
  return mode === 'hybrid' ? 'Hybrid' : mode.toUpperCase()
}

/** `[eth0 172.18.0.6, eth1 10.0.0.2]`. */
function deviceList(devices: readonly DeviceReport[]): string {
  return `[${devices.map(({ name, addresses }) => [name, ...addresses].join(' ')).join(', ')}]`
}

function xdpList(devices: readonly DeviceReport[]): string {
  const said = devices.map(({ name, xdp, reason }) => `${name} ${xdp}${reason === undefined ? '' : ` (${reason})`}`)
  return said.join(', ')
}

function backendSelection(loadBalancer: StatusReport['datapath']['loadBalancer']): string {
  if (loadBalancer.algorithm !== 'maglev') return capitalize(loadBalancer.algorithm)
  return `Maglev (Table Size: ${loadBalancer.maglevTableSize})`
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function fill(entries: number, maxEntries: number): string {
  if (maxEntries === 0) return '-'
  const percent = (100 * entries) / maxEntries
  return entries > 0 && percent < 1 ? '<1%' : `${Math.floor(percent)}%`
}
