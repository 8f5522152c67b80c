import type { Command } from 'commander'
import type { CliContext, Format } from '../context.ts'
import { agentOf, formatOption, print } from '../context.ts'
import { globalFrontends } from './ask-agent.ts'
import { UsageError } from '../errors.ts'
import { withPins } from './pins.ts'
import { readBackends, readRevNat, readServices } from './read-services.ts'
import { renderBackendIds, renderFrontends, renderLb, renderRevNat } from './tables.ts'

interface Options {
  readonly frontends?: boolean
  readonly backends?: boolean
  readonly revnat?: boolean
  readonly output: Format
}

export function addLb(bpf: Command, context: CliContext): void {
  const lb = bpf.command('lb').summary('services and their slots').description('Services as the datapath has them.')
  lb.command('list')
    .summary('services with the backend in each slot')
    .description(
      'List services as the datapath has them: one line per service and one per slot. ' +
        'Those merged over all clusters are marked "global" while an agent runs: the maps do not tell.',
    )
    .option('--frontends', 'one line per service, with its counts and flags')
    .option('--backends', 'only backends, by id')
    .option('--revnat', 'only the addresses that replies are turned back into, by service id')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft bpf lb list
  weft bpf lb list --frontends
  weft bpf lb list | grep global
  weft bpf lb list -o json | jq '.[] | select(.address == "10.2.47.149:80/TCP") | .slots'`,
    )
    .action(async (options: Options, command: Command) => {
      if ([options.frontends, options.backends, options.revnat].filter(Boolean).length > 1) {
        throw new UsageError('--frontends, --backends and --revnat exclude each other', 'choose one')
      }
      const { output } = options
      if (options.backends) await print(context, output, await withPins(command, readBackends), renderBackendIds)
      else if (options.revnat) await print(context, output, await withPins(command, readRevNat), renderRevNat)
      else {
        const rows = await withPins(command, readServices)
        const merged = await globalFrontends(agentOf(context, command))
        const services = merged === undefined ? rows : rows.map((row) => ({ ...row, global: merged.has(row.address) }))
        await print(context, output, services, options.frontends ? renderFrontends : renderLb)
      }
    })
}
