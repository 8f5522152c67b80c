import type { Command } from 'commander'
import type { ServiceReport } from '../api/types.ts'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { formatTable } from './table.ts'

export function addService(program: Command, context: CliContext): void {
  const service = program
    .command('service')
    .summary('services the agent balances')
    .description('Services the agent balances.')
  service
    .command('list')
    .summary('frontends and their backends of all clusters')
    .description('List the frontends the agent balances, each with its backends of all clusters.')
    .option('--clustermesh-affinity', 'mark the backends that the affinity of a service prefers')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft service list
  weft service list --clustermesh-affinity
  weft service list -o json | jq '.[].spec."frontend-address"'

See also: weft explain service NAMESPACE/NAME says why a backend is or is not chosen.`,
    )
    .action(async (options: { clustermeshAffinity?: boolean; output: Format }, command: Command) => {
      const services = await agentOf(context, command).services()
      await print(context, options.output, services, (reports) =>
        renderServices(reports, options.clustermeshAffinity === true),
      )
    })
}

/** The listing of `cilium-dbg service list`; `(preferred)` only where `affinity` asks for it. */
export function renderServices(reports: readonly ServiceReport[], affinity: boolean): string {
  const rows = reports.map(({ spec }) => {
    const frontend = spec['frontend-address']
    const scope = frontend.scope === 'internal' ? '/i' : ''
    const backends = spec['backend-addresses'].map((backend, i) => {
      const preferred = affinity && backend.preferred ? ' (preferred)' : ''
      return `${i + 1} => ${backend.ip}:${backend.port}/${backend.protocol} (${backend.state})${preferred}`
    })
    return [
      spec.id === 0 ? '-' : String(spec.id),
      `${frontend.ip}:${frontend.port}/${frontend.protocol}${scope}`,
      spec.flags.type,
      backends,
    ]
  })
  return formatTable(['ID', 'Frontend', 'Service Type', 'Backend'], rows)
}
