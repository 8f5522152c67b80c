import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { SOURCE_RANGE_MAP, sourceRangeKey } from '../../maps/source-range.ts'
import { compareCidrs, formatCidr } from '../../types/address.ts'
import { formatOption, print } from '../context.ts'
import type { SourceRangeRow } from './format.ts'
import type { OpenMap } from './pins.ts'
import { withPins } from './pins.ts'
import { readServices } from './read-services.ts'
import { renderSourceRanges } from './tables.ts'

export function addSrcrange(bpf: Command, context: CliContext): void {
  const srcrange = bpf
    .command('srcrange')
    .summary('clients that services admit')
    .description('Ranges of clients, for services that check them (loadBalancerSourceRanges).')
  srcrange
    .command('list')
    .summary('clients that services admit')
    .description(
      'Ranges of clients, for services that check them. A service flagged "deny" in `weft bpf lb list` refuses these; ' +
        'any other admits nobody else.',
    )
    .addOption(formatOption())
    .addHelpText('after', '\nExamples:\n  weft bpf srcrange list\n  weft bpf srcrange list -o json')
    .action(async (options: { output: Format }, command: Command) => {
      await print(context, options.output, await withPins(command, readSourceRanges), renderSourceRanges)
    })
}

/** By service id, then by address. */
export function readSourceRanges(open: OpenMap): SourceRangeRow[] {
  const { keys, count } = open(SOURCE_RANGE_MAP.name).dump()
  const addresses = new Map(readServices(open).map((service) => [service.id, service.address]))
  return Array.from({ length: count }, (_, i) => sourceRangeKey.decode(keys, i * sourceRangeKey.size))
    .sort((a, b) => a.serviceId - b.serviceId || compareCidrs(a.range, b.range))
    .map(({ serviceId, range }) => ({
      id: serviceId,
      address: addresses.get(serviceId) ?? '',
      prefix: formatCidr(range),
    }))
}
