import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { MASQUERADE_MAP, masqueradeKey } from '../../maps/masquerade.ts'
import { compareCidrs, formatCidr } from '../../types/address.ts'
import { formatOption, print } from '../context.ts'
import { formatTable } from '../table.ts'
import type { OpenMap } from './pins.ts'
import { withPins } from './pins.ts'

export function addIpmasq(bpf: Command, context: CliContext): void {
  const ipmasq = bpf
    .command('ipmasq')
    .summary('destinations that see pods by their own addresses')
    .description('Destinations that pods go to with their own addresses (ipMasqAgent).')
  ipmasq
    .command('list')
    .summary('destinations that see pods by their own addresses')
    .description('Destinations that pods go to with their own addresses (ipMasqAgent).')
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft bpf ipmasq list\n  weft bpf ipmasq list -o json')
    .action(async (options: { output: Format }, command: Command) => {
      const prefixes = await withPins(command, readIpmasq)
      if (prefixes.length === 0 && options.output === 'table') context.stderr('No entries found.\n')
      else await print(context, options.output, prefixes, renderIpmasq)
    })
}

/** By address, wider ones first. */
export function readIpmasq(open: OpenMap): { readonly prefix: string }[] {
  const { keys, count } = open(MASQUERADE_MAP.name).dump()
  return Array.from({ length: count }, (_, i) => masqueradeKey.decode(keys, i * masqueradeKey.size))
    .sort(compareCidrs)
    .map((prefix) => ({ prefix: formatCidr(prefix) }))
}

function renderIpmasq(rows: readonly { readonly prefix: string }[]): string {
  return formatTable(
    ['IP PREFIX/ADDRESS'],
    rows.map((row) => [row.prefix]),
  )
}
