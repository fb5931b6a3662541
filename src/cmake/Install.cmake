# `cmake --install build/release --prefix /usr`: programs, configuration, units.
include(GNUInstallDirs)
if(VMATTEST_WITH_GRPC)
  install(TARGETS vmattest vmattestd vmattest-verifierd)
endif()
install(FILES config/vmattestd.yaml config/vmattest-verifierd.yaml
        DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/vmattest)
install(FILES config/conf.d/50-tcp.yaml.example
        DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/vmattest/conf.d)
install(FILES config/verifierd.conf.d/50-etcd.yaml.example
              config/verifierd.conf.d/50-tcp.yaml.example
              config/verifierd.conf.d/60-ask.yaml.example
        DESTINATION ${CMAKE_INSTALL_FULL_SYSCONFDIR}/vmattest/verifierd.conf.d)
install(FILES systemd/vmattestd.service systemd/vmattest-verifierd.service
        DESTINATION lib/systemd/system)
install(FILES systemd/vmattest.sysusers DESTINATION lib/sysusers.d
        RENAME vmattest.conf)
install(FILES systemd/vmattest.tmpfiles DESTINATION lib/tmpfiles.d
        RENAME vmattest.conf)
install(FILES config/polkit/60-vmattest.rules
        DESTINATION ${CMAKE_INSTALL_DATADIR}/vmattest/polkit)
install(DIRECTORY config/policies
        DESTINATION ${CMAKE_INSTALL_DATADIR}/vmattest)
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
