import type { Command } from 'commander'
import type { IdentityReport } from '../api/types.ts'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { formatTable } from './table.ts'

export function addIdentity(program: Command, context: CliContext): void {
  const identity = program
    .command('identity')
    .summary('security identities of all clusters')
    .description('Security identities of the own and of connected clusters.')
  identity
    .command('list')
    .summary('identities with their labels')
    .description('List identities, all or only those that carry every label given.')
    .argument('[labels...]', 'source:key=value; the source may be left out')
    .addOption(formatOption())
    .addHelpText(
      'after',
      '\nExamples:\n  weft identity list\n  weft identity list k8s:app=webpod\n  weft identity list io.cilium.k8s.policy.cluster=east',
    )
    .action(async (labels: string[], options: { output: Format }, command: Command) => {
      const all = await agentOf(context, command).identities()
      const wanted = all.filter((report) => labels.every((label) => hasLabel(report, label)))
      await print(context, options.output, wanted, renderIdentities)
    })
}

function hasLabel(report: IdentityReport, wanted: string): boolean {
  return report.labels.some((label) => label === wanted || label.slice(label.indexOf(':') + 1) === wanted)
}

export function renderIdentities(identities: readonly IdentityReport[]): string {
  return formatTable(
    ['ID', 'LABELS'],
    identities.map(({ id, labels }) => [String(id), labels.length === 0 ? 'no labels' : labels]),
  )
}
