import type { ExplainReport } from '../api/types.ts'
import type { Reason } from '../types/frontend.ts'
import { renderProblems } from './problems-text.ts'
import { formatColumns, formatTable } from './table.ts'

/** One sentence per reason, in the words of the annotations and objects that people write. */
export const REASON_TEXT: Readonly<Record<Reason, string>> = {
  selected: 'takes new connections',
  'not-global': 'the service here is not global (service.cilium.io/global: "true"), so other clusters are not used',
  'not-shared': 'its cluster does not share it (service.cilium.io/shared: "false")',
  'no-local-service': 'this cluster has no Service of that namespace and name: nothing to balance from',
  'port-name-mismatch': 'it offers no port of the name and protocol that the Service asks for',
  'affinity-hides': 'service.cilium.io/affinity prefers other backends, and at least one of them is usable',
  'tier-hides': 'another cluster shows the same address, and that one counts',
  'cluster-unreachable': 'its cluster gives no sign of life; it is used only when nothing else is left',
  'cluster-not-synced': 'its cluster has not delivered its first complete list yet',
  'not-ready': 'its pod is not ready',
  terminating: 'its pod is terminating: flows it has go on, new ones go elsewhere',
  unhealthy: 'its health check fails',
  'traffic-policy-local': 'the traffic policy is Local, and it is not on this node',
  'map-full': 'there is no room left in the maps for it',
}

export function renderExplain(report: ExplainReport): string {
  const blocks = [`Service:   ${report.service}\n`]
  const mesh = meshLine(report.mesh)
  if (mesh !== undefined) blocks[0] += mesh
  const reasons = new Set<string>()
  for (const frontend of report.frontends) {
    const selected = frontend.backends.filter((backend) => backend.selected).length
    blocks.push(
      formatColumns([
        ['Frontend:', frontend.address === '' ? 'none' : `${frontend.address} (${frontend.type})`],
        ['Datapath:', datapath(frontend)],
        ...clients(frontend),
        ['Backends:', `${selected} of ${frontend.backends.length} take new connections`],
      ]),
    )
    if (frontend.backends.length === 0) continue
    const rows = frontend.backends.map((backend) => {
      reasons.add(backend.reason)
      const { address, cluster, weight, tier, reason } = backend
      return [address, cluster, backend.selected ? 'yes' : 'no', String(weight), String(tier), reason]
    })
    blocks.push(formatTable(['BACKEND', 'CLUSTER', 'SELECTED', 'WEIGHT', 'TIER', 'REASON'], rows))
  }
  if (reasons.size > 0) {
    const rows = [...reasons].map((reason) => [reason, sentence(reason)])
    blocks.push(`Reasons:\n${formatColumns(rows, { indent: 2 })}`)
  }
  if (report.problems.length > 0) blocks.push(renderProblems(report.problems))
  return blocks.join('\n')
}

/** What other clusters get of it, and it of them; nothing to say about a service that is not global. */
function meshLine(mesh: ExplainReport['mesh']): string | undefined {
  if (mesh?.global !== true) return undefined
  const shared = mesh.shared
    ? 'shared with other clusters'
    : 'not-shared: other clusters do not use its backends (service.cilium.io/shared: "false")'
  const affinity = mesh.affinity === 'none' ? '' : `, affinity ${mesh.affinity}`
  return `Mesh:      global, ${shared}${affinity}\n`
}

function datapath(frontend: ExplainReport['frontends'][number]): string {
  if (frontend.address === '') return 'nothing to write'
  if (frontend.state === 'error') return `failed: ${frontend.error ?? 'unknown error'}`
  return frontend.state === 'done' ? 'in place' : 'pending'
}

/** Nothing to say where everybody is let in. */
function clients({ sourceRanges }: ExplainReport['frontends'][number]): string[][] {
  if (sourceRanges === undefined) return []
  const ranges = sourceRanges.ranges.join(', ')
  return [['Clients:', sourceRanges.policy === 'deny' ? `all but ${ranges}` : `only ${ranges}`]]
}

/** An agent of another version may know reasons that this command does not. */
function sentence(reason: string): string {
  return (REASON_TEXT as Readonly<Record<string, string>>)[reason] ?? 'no explanation known to this version'
}
