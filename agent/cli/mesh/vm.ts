import type { Command } from 'commander'
import { formatOption } from '../context.ts'
import { CommandError } from '../errors.ts'

/** The names that guides use for external workloads: they are answered, not obeyed. */
export function addVm(mesh: Command): void {
  const vm = mesh
    .command('vm')
    .summary('machines outside the clusters: what there is for them')
    .description('Machines outside Kubernetes are not made members of a cluster; see what "create" answers.')
  for (const [name, argument] of [
    ['create', '[name]'],
    ['install', '[file]'],
  ] as const) {
    vm.command(`${name} ${argument}`)
      .summary('says what to do instead')
      .description('Not supported; says what to do instead.')
      .addOption(formatOption())
      .allowUnknownOption()
      .allowExcessArguments()
      .addHelpText('after', `\nExamples:\n  weft clustermesh vm ${name}`)
      .action(() => {
        throw new CommandError(
          'no-external-workloads',
          'a machine outside Kubernetes cannot be made part of a cluster',
          {
            hint:
              'make it a cluster of its own: "weft agent" there, with a name and id that no other has and its Node and Pods in ' +
              '--manifests, then "weft clustermesh connect" with the join file of each cluster (docs/CLUSTERMESH.md)',
          },
        )
      })
  }
}
