/* The lines of `sluice --help` about packs, apart from the code that the commands load. */

export const PACKS_HELP = `  packs validate FILE... [--json] [--strict]
                                   check pack files, or folders of them; exit code 1 if one has a mistake
  packs render FILE PROMPT [--var NAME=VALUE]... [--vars JSON] [--model MODEL] [--pack-version VERSION] [--time-zone ZONE]
                                   print the system prompt that a turn would send
  packs eval FILE [--url URL] [--only WORDS] [--times N]
                                   run the cases beside a pack on a gateway with the demo provider, or on a running one (SLUICE_API_KEY)
  packs replay --guardrails FILE [RECORDS]...
                                   judge recorded responses again, and list each verdict that would change
  packs compare PACK/PROMPT [VERSION]... [--metrics URL|FILE]... [--source live|shadow] [--json]
                                   print versions of a prompt side by side, from the replicas' metrics`;
