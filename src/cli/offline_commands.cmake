# The commands that need no daemon and no gRPC.
add_library(vmattest_cli_offline STATIC
  ${CMAKE_CURRENT_LIST_DIR}/appraisal_json.cc
  ${CMAKE_CURRENT_LIST_DIR}/break_glass_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/eventlog_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/explain_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/export_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/hook_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/key_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/ledger_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/ledger_sign.cc
  ${CMAKE_CURRENT_LIST_DIR}/policy_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/printable.cc
  ${CMAKE_CURRENT_LIST_DIR}/reference.cc
  ${CMAKE_CURRENT_LIST_DIR}/reference_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/reference_document.cc
  ${CMAKE_CURRENT_LIST_DIR}/seal_approve.cc
  ${CMAKE_CURRENT_LIST_DIR}/seal_status.cc
  ${CMAKE_CURRENT_LIST_DIR}/snapshot_show.cc
  ${CMAKE_CURRENT_LIST_DIR}/tpm2_tools_pcrs.cc
  ${CMAKE_CURRENT_LIST_DIR}/verify_command.cc
  ${CMAKE_CURRENT_LIST_DIR}/verify_state.cc)
add_library(vmattest::cli_offline ALIAS vmattest_cli_offline)
target_link_libraries(vmattest_cli_offline
  PUBLIC vmattest::base vmattest::verifier vmattest::appraisal
         vmattest::document vmattest::reference
  PRIVATE vmattest::ledger vmattest::ledger_sqlite vmattest::config_tree
          vmattest::crypto vmattest::eventlog
          vmattest::evidence vmattest::snapshot
          vmattest::wire vmattest::proto vmattest::options fmt::fmt
          nlohmann_json::nlohmann_json)
