import type { Command } from 'commander'
import { InvalidArgumentError } from 'commander'
import type { CliContext, Format } from './context.ts'
import { agentOf, formatOption, print } from './context.ts'
import { renderExplain } from './explain-text.ts'

interface Name {
  readonly namespace: string
  readonly name: string
}

export function addExplain(program: Command, context: CliContext): void {
  const explain = program
    .command('explain')
    .summary('why the datapath is as it is')
    .description('Why the datapath is as it is.')
  explain
    .command('service')
    .summary('which backends of all clusters a service uses, and why')
    .description('Show every backend that any cluster has for a service: used or not, and why.')
    .argument('<namespace/name>', 'the service; without a slash, in namespace default', parseName)
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft explain service default/webpod
  weft explain service webpod -o json | jq '.frontends[].backends[] | select(.selected | not)'`,
    )
    .action(async ({ namespace, name }: Name, options: { output: Format }, command: Command) => {
      const report = await agentOf(context, command).explain(namespace, name)
      await print(context, options.output, report, renderExplain)
    })
}

function parseName(text: string): Name {
  const parts = text.includes('/') ? text.split('/') : ['default', text]
  const [namespace = '', name = ''] = parts
  if (parts.length !== 2 || namespace === '' || name === '') {
    throw new InvalidArgumentError('Write it as NAMESPACE/NAME, for example default/webpod.')
  }
  return { namespace, name }
}
